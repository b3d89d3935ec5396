"""Migrations: of an empty database, repeated, concurrent; and whether a schema is recognised as outdated."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from agentcontainer.db import Pool
from agentcontainer.errors import SettingsError
from agentcontainer.migrations import schema
from agentcontainer.migrations.migrate import migrate
from agentcontainer.migrations.schema import HEAD, is_usable
from agentcontainer.migrations.watch import Watch
from tests.newer_schema import expand

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def test_an_empty_database_gets_our_tables(empty_database_url: str) -> None:
    assert not await is_usable(empty_database_url)
    await migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    tables = {row[0] for row in await connection.fetch(TABLES)}
    await connection.close()
    assert {"accounts", "tasks", "events", "ledger_entries", "account_queues"} <= tables
    assert await is_usable(empty_database_url)


async def test_concurrent_migrations_take_turns(empty_database_url: str) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))
    assert await is_usable(empty_database_url)


async def test_migrating_again_keeps_rows(database_url: str, pool: Pool) -> None:
    await pool.execute("INSERT INTO accounts (id, name, billing_mode) VALUES ('acc_1', 'a', 'standard')")
    await migrate(database_url)
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 1


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("9999", f"Versions that know schema 9999 can use it; this version knows those up to {HEAD}"),
        ("3f2a9c", "has the schema 3f2a9c, which is not of AgentContainer"),
    ],
)
async def test_a_schema_that_is_newer_or_not_ours_is_left_alone_and_named(
    database_url: str, pool: Pool, revision: str, sentence: str
) -> None:
    await pool.execute("UPDATE alembic_version SET version_num = $1", revision)
    await pool.execute("UPDATE installation SET oldest_code = $1", revision)
    fault = await schema.fault(database_url)
    assert fault is not None and sentence in fault
    assert "migrate" not in fault, "it could not help"
    with pytest.raises(SettingsError, match=sentence):
        await migrate(database_url)
    assert await pool.fetchval("SELECT version_num FROM alembic_version") == revision


async def test_a_newer_schema_that_only_adds_to_ours_is_usable_and_left_alone(
    database_url: str, pool: Pool
) -> None:
    await expand(pool)
    assert await schema.fault(database_url) is None
    await migrate(database_url)
    assert await pool.fetchval("SELECT version_num FROM alembic_version") == "9999"


async def test_a_running_process_notices_a_schema_that_it_cannot_use(pool: Pool) -> None:
    noticed = asyncio.Event()
    watch = Watch(pool, noticed.set, every_seconds=0.05)
    watching = asyncio.create_task(watch.run())
    await expand(pool)
    await asyncio.sleep(0.3)
    watch.check()
    await pool.execute("UPDATE installation SET oldest_code = '9999'")
    await asyncio.wait_for(noticed.wait(), 10)
    watching.cancel()
    with pytest.raises(SettingsError, match="Install the newer version here"):
        watch.check()


async def test_a_new_database_knows_the_oldest_version_that_can_use_it(pool: Pool) -> None:
    [head] = Path(schema.__file__).parent.glob(f"versions/{HEAD}_*.py")
    oldest_code = await pool.fetchval("SELECT oldest_code FROM installation")
    assert f'oldest_code = "{oldest_code}"' in head.read_text()


async def test_an_older_schema_is_named_and_migrated(database_url: str, pool: Pool) -> None:
    await pool.execute("UPDATE alembic_version SET version_num = '0001'")
    fault = await schema.fault(database_url)
    assert fault is not None and "agentcontainer migrate" in fault


async def test_a_failed_revision_leaves_nothing_behind(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE tasks (in_the_way int)")
    with pytest.raises(ProgrammingError, match='"tasks" already exists'):
        await migrate(empty_database_url)
    tables = {row[0] for row in await connection.fetch(TABLES)}
    await connection.close()
    assert tables <= {"tasks", "alembic_version"}


async def test_a_deadlock_with_work_in_progress_is_tried_again(empty_database_url: str) -> None:
    await upgrade_to(empty_database_url, "0013")
    work, observer = [await asyncpg.connect(empty_database_url) for _ in range(2)]
    # The server ends the transaction that notices the deadlock: this one looks late, so it is the migration's.
    await work.execute("SET deadlock_timeout = '20s'")
    await work.execute("BEGIN; LOCK TABLE runners IN ROW EXCLUSIVE MODE")
    migrating = asyncio.create_task(migrate(empty_database_url))
    while not await observer.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
        await asyncio.sleep(0.01)
    await work.fetchval("SELECT count(*) FROM tasks")
    await work.execute("COMMIT")
    await migrating
    assert await is_usable(empty_database_url)
    for connection in (work, observer):
        await connection.close()


async def upgrade_to(url: str, revision: str) -> None:
    """Apply the revisions up to this one to an empty database."""

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "agentcontainer:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()
    await engine.dispose()


def test_the_expected_revision_is_the_head_of_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", "agentcontainer:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
