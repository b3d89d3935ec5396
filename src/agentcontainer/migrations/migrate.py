"""Migrates a database to this version's schema by Alembic."""

from functools import partial

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from agentcontainer import db
from agentcontainer.migrations.schema import check_migratable, connected, needs_migration
from agentcontainer.session_limits import WITHOUT_LOCK_TIMEOUT

MIGRATION_LOCK = 0x61677463  # any number, but the same in every process


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
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade_to_head)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade_to_head(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "agentcontainer:migrations")
    config.set_main_option("path_separator", "os")
    return config
