"""Finds out which schema version a database has, without importing Alembic, which would slow the start of processes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pgqueuer.queries import Queries

from agentcontainer import db
from agentcontainer.errors import SettingsError

# The revisions form one line, and the name of each file begins with its revision.
HEAD = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


async def is_empty(url: str) -> bool:
    """Whether the database has no schema of ours yet."""
    async with connected(url) as connection:
        return await _revision(connection) is None


async def is_current(url: str) -> bool:
    """Whether the database has exactly this version's schema."""
    return await fault(url) is None


async def fault(url: str) -> str | None:
    """Why this version cannot use the database, and what to do about it, as sentences; None: it can."""
    async with connected(url) as connection:
        revision = await _revision(connection)
        if revision is None:
            return "The database has no schema yet. Run `agentcontainer migrate`."
        if (newer := _fault_of_newer(revision)) is not None:
            return newer
        plan = await Queries.from_asyncpg_connection(connection).plan_upgrade()
        if revision != HEAD or plan.statements:
            return "The database has the schema of an older version. Run `agentcontainer migrate`."
        return None


async def check_migratable(url: str) -> None:
    """Check that `migrate` can bring the database to this version's schema.

    Raises:
        SettingsError: its schema is newer, or not ours.
    """
    async with connected(url) as connection:
        revision = await _revision(connection)
    if revision is not None and (newer := _fault_of_newer(revision)) is not None:
        raise SettingsError(newer)


def _fault_of_newer(revision: str) -> str | None:
    if not revision.isdecimal():
        return (
            f"The database has the schema {revision}, which is not of AgentContainer. Set "
            "AGENTCONTAINER_DATABASE_URL to another database."
        )
    if int(revision) > int(HEAD):
        return (
            f"The database has the schema {revision} of a newer version of AgentContainer; this version knows "
            f"those up to {HEAD}. Install the newer version here, or restore a backup from before that upgrade."
        )
    return None


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[db.RawConnection]:
    """A single connection during the block."""
    connection = await db.connect(url, timeouts=db.WITHOUT_LOCK_TIMEOUT)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def _revision(connection: db.RawConnection) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return None
    return await connection.fetchval("SELECT max(version_num) FROM alembic_version")
