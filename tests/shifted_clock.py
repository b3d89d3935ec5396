"""Gives a database another time than this host has."""

from agentcontainer.db import Pool


async def shift_clock(pool: Pool, seconds: int) -> None:
    """Let the database's clock be ahead by so many seconds in every session that begins from now on."""
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute("CREATE SCHEMA shifted")
    for function in ("now", "clock_timestamp"):
        await pool.execute(
            f"CREATE FUNCTION shifted.{function}() RETURNS timestamptz LANGUAGE sql STABLE AS "
            f"$$ SELECT pg_catalog.{function}() + interval '{seconds} seconds' $$"
        )
    await pool.execute(f"ALTER DATABASE {name} SET search_path = public, shifted, pg_catalog")
