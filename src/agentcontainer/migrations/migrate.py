"""Bring a database to this version's schema: ours by Alembic, the queue's by PgQueuer's own installer."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pgqueuer.queries import Queries
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]

MIGRATION_LOCK = 0x61677463  # any number, but the same in every process


async def migrate(url: str) -> None:
    """Upgrade to the newest schema; does nothing where it is current. Two at once take turns."""
    async with _connected(url) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await _upgrade_tables(url)
        await _upgrade_queue(Queries.from_asyncpg_connection(connection))


async def is_empty(url: str) -> bool:
    """Whether the database was never migrated."""
    async with _connected(url) as connection:
        return await _was_never_migrated(connection)


async def is_current(url: str) -> bool:
    """Whether the database has exactly this version's schema."""
    async with _connected(url) as connection:
        if await _was_never_migrated(connection):
            return False
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
        heads = ScriptDirectory.from_config(_config()).get_heads()
        if {row["version_num"] for row in rows} != set(heads):
            return False
        plan = await Queries.from_asyncpg_connection(connection).plan_upgrade()
        return not plan.statements


async def _was_never_migrated(connection: "RawConnection") -> bool:
    return bool(await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"))


async def _upgrade_tables(url: str) -> None:
    # asyncpg parses the URL here too: SQLAlchemy understands fewer of its parameters.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(asyncpg.connect, url, timeout=10), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade_to_head)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade_to_head(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _upgrade_queue(queries: Queries) -> None:
    if await queries.schema_is_installed():
        await queries.apply_upgrade()
    else:
        await queries.install()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "agentcontainer:migrations")
    config.set_main_option("path_separator", "os")
    return config


@asynccontextmanager
async def _connected(url: str) -> "AsyncGenerator[RawConnection]":
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)
