"""Finds out which schema version a database has, without importing Alembic, which would slow the start of processes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from pgqueuer.queries import Queries

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]

# The revisions form one line, and the name of each file begins with its revision.
HEAD = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


async def is_empty(url: str) -> bool:
    """Whether the database has no schema of ours yet."""
    async with connected(url) as connection:
        return await _revision(connection) is None


async def is_current(url: str) -> bool:
    """Whether the database has exactly this version's schema."""
    async with connected(url) as connection:
        if await _revision(connection) != HEAD:
            return False
        plan = await Queries.from_asyncpg_connection(connection).plan_upgrade()
        return not plan.statements


@asynccontextmanager
async def connected(url: str) -> "AsyncGenerator[RawConnection]":
    """A single connection during the block."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def _revision(connection: "RawConnection") -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return None
    return await connection.fetchval("SELECT max(version_num) FROM alembic_version")
