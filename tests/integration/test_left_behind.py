"""`migrate` finds the running processes that cannot use the new schema, before it changes anything."""

import asyncpg
import pytest
from sqlalchemy.exc import ProgrammingError

from agentcontainer.cli.database import migrated
from agentcontainer.db import Pool
from agentcontainer.errors import SettingsError
from agentcontainer.migrations import schema
from agentcontainer.migrations.left_behind import left_behind

OLD = "0010"  # the queue of versions that know no newer schema was removed by 0011


async def refusal(url: str) -> str:
    try:
        await migrated(url, stops_others=False)
    except SettingsError as error:
        return str(error)
    return ""


async def test_living_processes_that_cannot_use_the_new_schema_are_named_before_the_migration(
    database_url: str, pool: Pool
) -> None:
    await pool.execute("UPDATE alembic_version SET version_num = $1", OLD)
    await pool.execute("UPDATE installation SET oldest_code = '0008'")
    await pool.execute(
        "INSERT INTO runners (id, region, host, capacity, version, newest_schema, name, heartbeat_at, stopped_at) "
        "VALUES "
        "('rnr_1', 'any', 'h1', 1, '0.0.9', $1, 'old', now(), NULL), "
        "('rnr_2', 'any', 'h2', 1, '0.0.9', $1, 'stopped', now(), now()), "
        "('rnr_3', 'any', 'h3', 1, '0.0.9', $1, 'dead', now() - interval '1 minute', NULL), "
        "('rnr_4', 'any', 'h4', 1, '0.1.0', $2, 'new', now(), NULL), "
        "('rnr_5', 'any', 'h5', 1, NULL, NULL, NULL, now(), NULL)",
        OLD, schema.HEAD,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO api_processes (id, host, port, version, newest_schema) VALUES "
        "('api_1', 'web1', 1, '0.0.9', NULL), ('api_2', 'web2', 1, '0.1.0', $1)",
        schema.HEAD,
    )
    sentence = await refusal(database_url)
    assert (
        "cannot use the new schema: runner old (version 0.0.9), runner h5 (version unknown), "
        "API web1 (version 0.0.9). Stop them first" in sentence
    )
    assert await pool.fetchval("SELECT version_num FROM alembic_version") == OLD
    lines: list[str] = []
    with pytest.raises(
        ProgrammingError
    ):  # the tables of the newer schema exist, so the migration itself fails
        await migrated(database_url, report=lines.append)
    assert "will stop: runner old (version 0.0.9), runner h5" in lines[0]
    # A process that has not recorded what it knows uses the present schema, so it knows what that needs.
    await pool.execute("DELETE FROM runners WHERE id = 'rnr_1'")
    await pool.execute("UPDATE installation SET oldest_code = '0011'")
    assert await left_behind(database_url) == []


async def test_a_new_database_and_one_without_the_columns_have_nobody_to_leave_behind(
    empty_database_url: str,
) -> None:
    assert await left_behind(empty_database_url) == []
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE installation (id text); INSERT INTO installation VALUES ('ins_1')")
    await connection.execute(
        "CREATE TABLE runners (id text, host text, heartbeat_at timestamptz, stopped_at int)"
    )
    await connection.execute("INSERT INTO runners VALUES ('rnr_1', 'h1', now())")
    await connection.close()
    assert await left_behind(empty_database_url) == ["runner h1 (version unknown)"]
