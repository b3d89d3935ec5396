"""The feed of an account: which events it holds, in which order, and what deletion and retention leave of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.feed import store
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.feed.sequencer import number_forever
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft

from .conftest import MakeTask

STARTED = Draft("task.started", {"status": "running", "attempt": 2})
TOOL = Draft("tool.started", {"callId": "1", "tool": "bash", "input": {"command": "cat secret.txt"}})
FAILED = Draft("turn.failed", {"errorCode": "timeout", "error": "Slow.", "turnNumber": 3, "attemptNumber": 1})


@pytest.fixture
async def sequencing(database_url: str) -> AsyncIterator[None]:
    """Number what comes into the outbox during the test."""
    numbering = asyncio.create_task(number_forever(database_url))
    yield
    numbering.cancel()
    await asyncio.gather(numbering, return_exceptions=True)


async def append(pool: Pool, task_id: str, *drafts: Draft) -> None:
    async with db.transaction(pool) as connection:
        await events.append(connection, task_id, drafts)


async def number(pool: Pool) -> int:
    async with pool.acquire() as connection:
        return await store.number(connection, 1000)


async def entries(pool: Pool, account_id: str, after: int = 0) -> list[FeedEntry]:
    page = await store.list_page(pool, account_id, after=after, limit=1000, is_descending=False)
    return list(page.rows)


async def test_only_events_for_back_ends_are_in_it_and_without_texts(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    task_id = await make_task("running")
    await pool.execute("""UPDATE tasks SET title = 'Count', metadata = '{"order": 7}'""")
    checkpointed = Draft("task.checkpointed", {"sizeBytes": 1, "pausedMs": 1})
    await append(pool, task_id, STARTED, TOOL, checkpointed, FAILED)
    assert await number(pool) == 2
    started, failed = await entries(pool, account_id)
    task = {"agentId": "agt_standard_data", "mode": "autonomous", "status": "running", "title": "Count"}
    ending = {"metadata": {"order": 7}, "completion": None, "errorCode": None, "costUsd": None, "url": None}
    assert started.data == {"position": 1, "taskId": task_id, "sequence": 1, "attempt": 2} | task | ending
    assert (failed.position, failed.type, failed.task_id) == (2, "turn.failed", task_id)
    turn = {"sequence": 4, "errorCode": "timeout", "turnNumber": 3, "attemptNumber": 1}
    assert failed.data == {"position": 2, "taskId": task_id} | task | ending | turn
    log = (await events.list_page(pool, task_id, limit=10)).rows
    assert [(log[0].id, log[0].created_at), (log[3].id, log[3].created_at)] == [
        (entry.id, entry.created_at) for entry in (started, failed)
    ]


async def test_a_transaction_that_commits_late_is_numbered_late_and_makes_nobody_wait(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    slow, fast = await make_task("running"), await make_task("running")
    async with db.transaction(pool) as connection:
        await events.append(connection, slow, [STARTED])
        await append(pool, fast, STARTED, STARTED)
        assert await number(pool) == 2
    assert await number(pool) == 1
    assert [(entry.position, entry.task_id) for entry in await entries(pool, account_id)] == [
        (1, fast), (2, fast), (3, slow),
    ]  # fmt: skip


async def test_the_lag_is_the_age_of_the_oldest_event_without_a_position(
    pool: Pool, make_task: MakeTask
) -> None:
    assert await store.lag_seconds(pool) == 0
    task_id = await make_task("running")
    await append(pool, task_id, STARTED)
    await pool.execute("UPDATE feed_outbox SET created_at = now() - interval '7 seconds'")
    await append(pool, task_id, STARTED)
    assert 7 <= await store.lag_seconds(pool) < 60
    await number(pool)
    assert await store.lag_seconds(pool) == 0


async def test_an_event_that_is_rolled_back_is_in_no_feed(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    task_id = await make_task("running")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await events.append(connection, task_id, [STARTED])
        await transaction.rollback()
    await append(pool, task_id, STARTED)
    await number(pool)
    assert [entry.position for entry in await entries(pool, account_id)] == [1]


@pytest.mark.usefixtures("sequencing")
async def test_an_event_is_in_the_feed_within_a_moment(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    task_id = await make_task("running")
    delays: list[float] = []
    clock = asyncio.get_running_loop().time
    for position in range(1, 31):
        await append(pool, task_id, STARTED)
        committed = clock()
        while not await entries(pool, account_id, position - 1):
            await asyncio.sleep(0.002)
        delays.append(clock() - committed)
    assert sorted(delays)[15] < 0.1, delays  # the median, because other tests use the CPUs, too


@pytest.mark.usefixtures("sequencing")
async def test_of_two_sequencers_one_works_and_the_other_takes_over(
    pool: Pool, database_url: str, make_task: MakeTask, account_id: str
) -> None:
    task_id = await make_task("running")
    second = asyncio.create_task(number_forever(database_url))
    find = """
        SELECT count(*), count(pg_terminate_backend(pid)) FROM pg_stat_activity JOIN pg_locks USING (pid)
        WHERE application_name LIKE 'agentcontainer feed%' AND datname = current_database()
            AND locktype = 'advisory' AND granted
    """
    try:
        for position in range(1, 4):
            await append(pool, task_id, STARTED)
            async with asyncio.timeout(10):
                while not await entries(pool, account_id, position - 1):
                    await asyncio.sleep(0.02)
                while True:
                    row = await pool.fetchrow(find)
                    if row is not None and row[0]:
                        break
                    await asyncio.sleep(0.02)
            assert row[0] == 1
    finally:
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)


async def test_deleting_a_task_leaves_the_places_of_its_entries(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    deleted, kept = await make_task("running"), await make_task("running")
    await append(pool, deleted, STARTED)
    await append(pool, kept, STARTED)
    await number(pool)
    await append(pool, deleted, STARTED)  # still in the outbox
    async with db.transaction(pool) as connection:
        assert await store.blank(connection, [deleted], 1000) == 1
    await number(pool)
    found = await entries(pool, account_id)
    assert [entry.position for entry in found] == [1, 2, 3]
    assert [bool(entry.data) for entry in found] == [False, True, False]
    assert {entry.type for entry in found} == {"task.started"}
    assert deleted not in json.dumps([dict(entry.data) for entry in found])


async def test_a_deletion_in_progress_does_not_hold_up_the_feed(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    deleted, other = await make_task("running"), await make_task("running")
    await append(pool, deleted, STARTED)
    async with db.transaction(pool) as connection:
        await store.blank(connection, [deleted], 1000)
        await append(pool, other, STARTED)
        assert await number(pool) == 1
    assert await number(pool) == 1
    assert [bool(entry.data) for entry in await entries(pool, account_id)] == [True, False]


async def test_a_purge_removes_the_oldest_entries_only(
    pool: Pool, make_task: MakeTask, account_id: str
) -> None:
    task_id = await make_task("running")
    await append(pool, task_id, *[STARTED] * 10)
    await number(pool)
    now = datetime.now(UTC)
    age = "UPDATE feed_entries SET created_at = $1 WHERE position = ANY ($2::bigint[])"
    await pool.execute(age, now - timedelta(days=9), [1, 2, 3, 5, 6])  # 4 is younger
    before = now - timedelta(days=5)
    assert await store.accounts_to_purge(pool, before) == [account_id]
    assert len(await store.purge(pool, account_id, before, 2)) == 2
    assert len(await store.purge(pool, account_id, before, 1000)) == 1
    assert await store.accounts_to_purge(pool, before) == []
    assert len(await store.purge(pool, account_id, before, 1000)) == 0
    bounds = await store.bounds(pool, account_id)
    assert (bounds.oldest, bounds.last) == (4, 10)
    assert len(await store.purge(pool, account_id, now + timedelta(days=1), 1000)) == 7
    assert (await store.bounds(pool, account_id)).oldest == 11
    await append(pool, task_id, STARTED)
    await number(pool)
    assert [entry.position for entry in await entries(pool, account_id)] == [11]
