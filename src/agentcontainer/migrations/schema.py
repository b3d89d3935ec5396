"""Decides whether this version can use a database's schema, without importing Alembic, which would slow the start.

A version runs on the schemas from `OLDEST` to `HEAD`, and on newer ones whose migrations say so: the database holds
`oldest_code`, the `HEAD` of the oldest version that can use it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from agentcontainer import db
from agentcontainer.errors import SettingsError
from agentcontainer.session_limits import WITHOUT_LOCK_TIMEOUT

# The revisions form one line, and the name of each file begins with its revision.
HEAD = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))
OLDEST = HEAD  # `migrate` runs before the first process of a new version starts

_HAS_TABLES = "SELECT to_regclass('alembic_version') IS NOT NULL AND to_regclass('installation') IS NOT NULL"
# As JSON, because schemas up to 0007 lack the column.
_VERSIONS = """
SELECT (SELECT max(version_num) FROM alembic_version) AS revision,
    (SELECT to_jsonb(installation) ->> 'oldest_code' FROM installation) AS oldest_code
"""


async def is_empty(url: str) -> bool:
    """Whether the database has no schema of ours yet."""
    async with connected(url) as connection:
        return await _revision(connection) is None


async def is_usable(url: str) -> bool:
    """Whether this version can use the database as it is."""
    return await fault(url) is None


async def needs_migration(url: str) -> bool:
    """Whether `migrate` would change the database. A schema of a newer version is left alone."""
    async with connected(url) as connection:
        revision = await _revision(connection)
        return revision is None or (revision.isdecimal() and int(revision) < int(HEAD))


async def fault(url: str) -> str | None:
    """Why this version cannot use the database, and what to do about it, as sentences; None: it can."""
    async with connected(url) as connection:
        revision = await _revision(connection)
        if revision is None:
            return "The database has no schema yet. Run `agentcontainer migrate`."
        return await fault_in_use(connection)


async def fault_in_use(connection: db.Connection | db.Pool) -> str | None:
    """`fault` of a database that had a usable schema before: a single query."""
    row = await connection.fetchrow(_VERSIONS)
    assert row is not None
    return fault_of(row["revision"], row["oldest_code"])


def fault_of(revision: str, oldest_code: str | None) -> str | None:
    """Why this version cannot use this schema, which only versions from `oldest_code` on can use; None: it can."""
    if not revision.isdecimal():
        return (
            f"The database has the schema {revision}, which is not of AgentContainer. Set "
            "AGENTCONTAINER_DATABASE_URL to another database."
        )
    if int(revision) < int(OLDEST):
        return "The database has the schema of an older version. Run `agentcontainer migrate`."
    if int(revision) > int(HEAD) and (oldest_code is None or int(oldest_code) > int(HEAD)):
        return (
            f"The database has the schema {revision} of a newer version of AgentContainer. Versions that know schema "
            f"{oldest_code or revision} can use it; this version knows those up to {HEAD}. Install the newer version "
            "here, or restore a backup from before that upgrade."
        )
    return None


async def check_migratable(url: str) -> None:
    """Check that `migrate` can bring the database to a schema that this version can use.

    Raises:
        SettingsError: its schema is of a newer version and this one cannot use it, or it is not ours.
    """
    async with connected(url) as connection:
        revision = await _revision(connection)
        if revision is None or (revision.isdecimal() and int(revision) <= int(HEAD)):
            return
        if (sentence := await fault_in_use(connection)) is not None:
            raise SettingsError(sentence)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[db.RawConnection]:
    """A single connection during the block."""
    connection = await db.connect(url, timeouts=WITHOUT_LOCK_TIMEOUT)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def _revision(connection: db.RawConnection) -> str | None:
    if not await connection.fetchval(_HAS_TABLES):
        return None
    return await connection.fetchval("SELECT max(version_num) FROM alembic_version")
