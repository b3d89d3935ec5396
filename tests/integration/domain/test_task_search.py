"""A search of the task list stays cheap in a full table, whether few tasks match, many, or very many."""

import asyncpg
import pytest

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks import listing
from agentcontainer.domain.tasks.list_query import Cursor
from agentcontainer.domain.tasks.model import TaskFilter
from agentcontainer.domain.tasks.state import Status

from .conftest import EXECUTION, MakeTask

LIMIT = 20
FIRST_ROWS = listing.ROWS_BEFORE_SEARCH * LIMIT
MAX_ROWS_READ = 3000
MAX_MATCHES = 100
# Task n shares a word of its title and a value of its metadata with 4, 200 and all tasks.
FILL = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, metadata, title)
SELECT 'tsk_' || lpad(n::text, 26, '0'), $1, a.id, a.current_version_id, 'autonomous',
    CASE WHEN n % 2 = 0 THEN 'finished' ELSE 'cancelled' END, 'Do it.', $2,
    jsonb_build_object('customer', 'c-' || n % 5000, 'group', 'g-' || n % 100, 'env', 'production'),
    concat('Report for customer', n % 5000, ' of group', n % 100)
FROM agents a, generate_series(1, 20000) AS n WHERE a.id = 'agt_standard_data'
"""
ROWS_READ = """
SELECT pg_stat_force_next_flush(), seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'tasks'
"""


async def rows_read(connection: Connection) -> int:
    """How many rows of tasks this connection has read."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return (await connection.fetch(ROWS_READ))[0][1]


async def list_page(
    connection: Connection,
    account_id: str,
    task_filter: TaskFilter,
    after: Cursor | None,
    *,
    is_descending: bool,
) -> listing.TaskPage:
    pool: asyncpg.Pool = connection  # pyright: ignore[reportAssignmentType] - all calls are on one connection
    return await listing.list_page(
        pool, account_id, task_filter, after=after, limit=LIMIT, is_descending=is_descending,
        max_rows_read=MAX_ROWS_READ, max_matches=MAX_MATCHES,
    )  # fmt: skip


FEW, MANY, ALL, NONE, NONE_OF_MANY = 4, 200, 20_000, 0, -1
SEARCHES = [
    (TaskFilter(metadata={"customer": "c-17"}), FEW),
    (TaskFilter(metadata={"customer": "c-17", "env": "production"}), FEW),
    (TaskFilter(metadata={"customer": "nobody"}), NONE),
    (TaskFilter(metadata={"group": "g-17"}), MANY),
    (TaskFilter(metadata={"env": "production"}), ALL),
    (TaskFilter(text="customer17"), 444),
    (TaskFilter(text="customer4999"), FEW),
    (TaskFilter(text="rep cust of"), ALL),
    (TaskFilter(text="group17 report"), MANY),
    (TaskFilter(text="customer4999 absent"), NONE),
    (TaskFilter(text="group17", metadata={"customer": "c-17"}), FEW),
    (TaskFilter(text="group17", statuses=frozenset({Status.FINISHED, Status.PENDING})), NONE_OF_MANY),
    (TaskFilter(text="group18", statuses=frozenset({Status.FINISHED, Status.PENDING})), MANY),
    (
        TaskFilter(metadata={"customer": "c-18"}, statuses=frozenset({Status.FINISHED}), mode="autonomous"),
        FEW,
    ),
]


@pytest.mark.parametrize("is_descending", [True, False])
async def test_a_search_reads_few_rows_and_its_pages_have_all_that_match(
    pool: Pool, account_id: str, make_task: MakeTask, is_descending: bool
) -> None:
    await make_task("pending")
    await pool.execute(FILL, account_id, EXECUTION)
    await pool.execute("VACUUM ANALYZE tasks")
    async with pool.acquire() as connection:
        for task_filter, count in SEARCHES:
            cursor, listed = None, list[str]()
            while True:
                before = await rows_read(connection)
                page = await list_page(
                    connection, account_id, task_filter, cursor, is_descending=is_descending
                )
                read = await rows_read(connection) - before
                assert read <= 2 * FIRST_ROWS + MAX_MATCHES + 2 * MAX_ROWS_READ + 100
                if cursor is None and count in (FEW, NONE, ALL):
                    assert read <= 4 * FIRST_ROWS + MAX_MATCHES, task_filter
                listed += [task.id for task in page.rows]
                cursor = page.next_cursor
                if not page.has_more or count == ALL:
                    break
            assert listed == sorted(set(listed), reverse=is_descending)
            assert len(listed) == {ALL: LIMIT, NONE_OF_MANY: 0}.get(count, count), task_filter


async def test_another_accounts_tasks_are_not_read(pool: Pool, account_id: str, make_task: MakeTask) -> None:
    await make_task("pending")
    await pool.execute(FILL, account_id, EXECUTION)
    await pool.execute(
        "INSERT INTO accounts (id, name, billing_mode) VALUES ('acc_other', 'Other', 'unlimited_grant')"
    )
    await pool.execute(
        "UPDATE tasks SET account_id = 'acc_other' WHERE id > 'tsk_00000000000000000000001000'"
    )
    await pool.execute("VACUUM ANALYZE tasks")
    for task_filter in (TaskFilter(metadata={"group": "g-17"}), TaskFilter(text="group17")):
        async with pool.acquire() as connection:
            before = await rows_read(connection)
            page = await list_page(connection, account_id, task_filter, None, is_descending=True)
            assert await rows_read(connection) - before <= 2 * FIRST_ROWS + 40
        assert len(page.rows) == 10


FOUND = [
    (
        "Write report.md",
        ["report.md", "report.m", "Report.", "write report.md", "report write", "report report", "md"],
    ),
    (
        "Sales of 2026-01-05",
        ["2026-01-05", "2026-01", "2026-0", "2026", "2026-01-05 2026-01-05", "sales - 2026"],
    ),
    ("A well-known foo_bar", ["well-known", "well-k", "known", "foo_bar", "foo_b", "bar", "well_known"]),
    (
        "See https://example.com/a?b=c",
        ["example.com", "example.com/a", "https://example.com", "https://example.com/a"],
    ),
    ("Café Ünïcode ŒUVRE ÉTÉ", ["café", "ünï", "Ünï", "œuvre", "été", "Été", "unicode"]),
    (
        "The reader's C:\\folder",
        ["reader's", "c:\\folder", "'reader's'", "reader | c", "!reader", "reader:*"],
    ),
]
NOT_FOUND = {"md", "unicode"}


async def test_a_word_is_found_however_it_is_written(
    pool: Pool, account_id: str, make_task: MakeTask
) -> None:
    tasks = {title: await make_task("pending") for title, _ in FOUND}
    for title, task_id in tasks.items():
        await pool.execute("UPDATE tasks SET title = $2 WHERE id = $1", task_id, title)
    for title, texts in FOUND:
        for text in texts:
            async with pool.acquire() as connection:
                page = await list_page(
                    connection, account_id, TaskFilter(text=text), None, is_descending=True
                )
            expected = [] if text in NOT_FOUND else [tasks[title]]
            assert [task.id for task in page.rows] == expected, text
