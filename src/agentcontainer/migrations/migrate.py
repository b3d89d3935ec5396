"""Migrates a database to this version's schema by Alembic."""

import asyncio
import logging
from functools import partial

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from agentcontainer import db
from agentcontainer.migrations.schema import check_migratable, connected, needs_migration
from agentcontainer.session_limits import WITHOUT_LOCK_TIMEOUT

MIGRATION_LOCK = 0x61677463  # any number, but the same in every process
TRIES = 30  # of a revision that meets a deadlock with the work of other processes
PAUSE_SECONDS = 0.5

logger = logging.getLogger(__name__)


async def migrate(url: str) -> None:
    """Upgrade to this version's schema. Does nothing if the database has it, or a newer one that this version can use.
    Two simultaneous calls take turns.

    Raises:
        SettingsError: this version cannot use the newer schema, or it is not ours.
    """
    async with connected(url) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await check_migratable(url)
        if await needs_migration(url):
            await _upgrade_tables(url)


async def _upgrade_tables(url: str) -> None:
    # asyncpg parses the URL here too: SQLAlchemy understands fewer of its parameters.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(db.connect, url, timeouts=WITHOUT_LOCK_TIMEOUT),
        poolclass=NullPool,
    )  # fmt: skip
    try:
        for number in range(1, TRIES + 1):
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(_upgrade_to_head)
                    await connection.commit()
                    return
            except DBAPIError as error:
                if not _is_deadlock(error) or number == TRIES:
                    raise
                # Revisions that were applied stay: each has a transaction of its own.
                logger.info("a revision met a deadlock with work in progress, and is tried again")
                await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await engine.dispose()


def _is_deadlock(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == asyncpg.DeadlockDetectedError.sqlstate


def _upgrade_to_head(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "agentcontainer:migrations")
    config.set_main_option("path_separator", "os")
    return config
