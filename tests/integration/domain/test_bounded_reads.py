"""A search for what uses a file, and one for unused checkpoints, read a bounded number of rows at a time."""

import json

import pytest

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.checkpoints.service import MIN_AGE
from agentcontainer.domain.files.model import FileUse
from agentcontainer.domain.files.use import MAX_USES, find_use
from agentcontainer.domain.retention import store as retention
from agentcontainer.ids import new_id

from .conftest import MakeTask

ENDED = 3 * MAX_USES
READ = (
    "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname = $1"
)
INSERT_FILE = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key)
VALUES ($1, $2, 'a.csv', 'text/csv', 1, '', $1)
"""
INSERT_ENDED = """
WITH task AS (
    INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, completed_at)
    SELECT 'tsk_0' || n, account_id, agent_id, agent_version_id, mode, 'finished', '', execution, now()
    FROM tasks, generate_series(1, $2) AS n WHERE id = $1 RETURNING id
)
INSERT INTO task_input_files (task_id, file_id, position) SELECT id, $3, 0 FROM task
"""
INSERT_MESSAGE = """
WITH message AS (
    INSERT INTO messages (id, task_id, sequence, turn_number, role, status, content)
    VALUES ('msg_1', $1, 1, 1, 'user', 'delivered', 'x') RETURNING id
)
INSERT INTO message_files (message_id, file_id, position) SELECT id, $2, 0 FROM message
"""
INSERT_CHECKPOINTS = """
INSERT INTO checkpoints (id, task_id, blob_key, created_at)
SELECT 'ckp_' || lpad(n::text, 8, '0'), $1, n, now() - interval '2 days' FROM generate_series(1, $2) AS n
"""


@pytest.fixture
async def popular(pool: Pool, account_id: str, make_task: MakeTask) -> tuple[str, str]:
    """The id of a file that very many ended tasks had as an input, and of a live task that does not have it."""
    task_id, file_id = await make_task("pending"), new_id("file")
    await pool.execute(INSERT_FILE, file_id, account_id)
    await pool.execute(INSERT_ENDED, task_id, ENDED, file_id)
    await pool.execute("ANALYZE")
    return file_id, task_id


async def rows_read(connection: Connection, table: str) -> int:
    """How many rows this session has read since a moment before the transaction."""
    return await connection.fetchval(READ, table)


async def buffers_of_lock_unused(connection: Connection, file_id: str) -> int:
    """How many pages the database touches to judge whether a purge may delete the file."""
    await connection.execute("SET LOCAL enable_seqscan = off")
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {retention.LOCK_UNUSED_FILES}"
    [plan] = json.loads(await connection.fetchval(query, [file_id]))
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize("is_used", [False, True])
async def test_a_purge_does_not_read_all_uses_of_a_file(
    pool: Pool, account_id: str, popular: tuple[str, str], is_used: bool
) -> None:
    """Looking up each of the 3,000 ended tasks would touch at least 3 pages for each."""
    file_id, task_id = popular
    if is_used:
        await pool.execute("INSERT INTO task_input_files VALUES ($1, $2, 0)", task_id, file_id)
    async with db.transaction(pool) as connection:
        assert await buffers_of_lock_unused(connection, file_id) < 500
        assert len(await retention.lock_unused(connection, [file_id])) == (0 if is_used else 1)


async def test_a_purge_finds_a_rare_use_by_a_message(
    pool: Pool, account_id: str, make_task: MakeTask
) -> None:
    file_id, task_id = new_id("file"), await make_task("awaiting_input")
    await pool.execute(INSERT_FILE, file_id, account_id)
    await pool.execute(INSERT_MESSAGE, task_id, file_id)
    for status, unused in (("awaiting_input", 0), ("finished", 1)):
        await pool.execute("UPDATE tasks SET status = $2 WHERE id = $1", task_id, status)
        async with db.transaction(pool) as connection:
            assert len(await retention.lock_unused(connection, [file_id])) == unused


async def use_of(connection: Connection, account_id: str, file_id: str) -> FileUse | None:
    await connection.execute("SET LOCAL enable_seqscan = off")  # as the planner decides for large tables
    tables = ("task_input_files", "tasks")
    before = [await rows_read(connection, table) for table in tables]
    use = await find_use(connection, account_id, [new_id("file"), file_id])
    inputs, tasks = [
        await rows_read(connection, table) - count for table, count in zip(tables, before, strict=True)
    ]
    assert inputs <= MAX_USES + 10
    assert tasks <= MAX_USES + 10
    return use


async def test_a_file_of_very_many_ended_tasks_may_be_deleted(
    pool: Pool, account_id: str, popular: tuple[str, str]
) -> None:
    async with db.transaction(pool) as connection:
        assert await use_of(connection, account_id, popular[0]) is None


@pytest.mark.parametrize("status", ["pending", "running", "awaiting_input", "hibernating"])
async def test_a_live_task_among_very_many_ended_ones_is_found(
    pool: Pool, account_id: str, popular: tuple[str, str], status: str
) -> None:
    file_id, task_id = popular
    await pool.execute("UPDATE tasks SET status = $2 WHERE id = $1", task_id, status)
    await pool.execute("INSERT INTO task_input_files VALUES ($1, $2, 0)", task_id, file_id)
    async with db.transaction(pool) as connection:
        use = await use_of(connection, account_id, file_id)
    assert use == FileUse(file_id, f"task {task_id}, which has not ended")


async def test_unused_checkpoints_are_read_in_pages(pool: Pool, make_task: MakeTask) -> None:
    task_id, count = await make_task("hibernating"), 2 * checkpoints.PAGE_ROWS + 1
    await pool.execute(INSERT_CHECKPOINTS, task_id, count)
    await pool.execute("ANALYZE")
    current = f"ckp_{checkpoints.PAGE_ROWS:08}"
    await pool.execute("UPDATE tasks SET checkpoint_id = $2 WHERE id = $1", task_id, current)
    async with db.larger_transaction(pool) as transaction:
        before = await rows_read(transaction.connection, "checkpoints")
        async for first in checkpoints.unused(transaction.pool, MIN_AGE):
            assert first.id == "ckp_00000001"
            break
        read = await rows_read(transaction.connection, "checkpoints") - before
        assert read <= 2 * checkpoints.PAGE_ROWS
    unused = [blob.id async for blob in checkpoints.unused(pool, MIN_AGE)]
    assert len(set(unused)) == len(unused) == count - 1
    assert current not in unused
