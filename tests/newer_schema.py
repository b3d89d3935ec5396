"""Turns a database's schema into one of a newer version."""

from agentcontainer.db import Pool

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


async def expand(pool: Pool) -> None:
    """Add a column to each table, as a newer version's migration may, and record it as schema 9999."""
    async with pool.acquire() as connection, connection.transaction():
        for (table,) in await connection.fetch(TABLES):
            await connection.execute(f"ALTER TABLE {table} ADD COLUMN of_the_future text DEFAULT 'new'")
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
