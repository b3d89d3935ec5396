"""Looks for a text in every table of a database."""

from agentcontainer.db import Pool

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def tables_with(pool: Pool, canary: str) -> list[str]:
    """The tables that contain the text, as it is or in hexadecimal."""
    spellings = (canary, canary.encode().hex())
    tables: list[str] = []
    for table in [row["tablename"] for row in await pool.fetch(_TABLES)]:
        rows = await pool.fetch(f"SELECT t::text AS text FROM {table} t")
        if any(spelling in row["text"] for row in rows for spelling in spellings):
            tables.append(table)
    return tables
