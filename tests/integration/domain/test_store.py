"""`store.move` against the real database: every pair of statuses, and the fence."""

import asyncio

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events, store
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.state import TRANSITIONS, Status

from .conftest import MakeTask


@pytest.mark.parametrize("from_", Status)
async def test_a_status_changes_exactly_when_the_table_allows_it(
    pool: Pool, make_task: MakeTask, from_: Status
) -> None:
    for to in Status:
        task_id = await make_task(from_.value)
        async with db.transaction(pool) as connection:
            moved = await store.move(connection, task_id, to)
        task = await store.get(pool, task_id)
        assert task is not None
        assert moved is (to in TRANSITIONS[from_]), (from_, to)
        assert task.status == (to if to in TRANSITIONS[from_] else from_)


async def test_a_stale_attempt_moves_nothing_and_logs_nothing(pool: Pool, make_task: MakeTask) -> None:
    task_id = await make_task("running", attempt=2)
    async with db.transaction(pool) as connection:
        assert await store.move(connection, task_id, Status.FINISHED, attempt=1) is False
        assert (
            await events.append(connection, task_id, [Draft("tool.started", {})], Claim(task_id, 1)) is None
        )
    assert not await store.container_started(pool, Claim(task_id, 1))
    assert not (await events.list_page(pool, task_id, limit=10)).rows


async def test_events_are_numbered_without_gaps_under_concurrent_writers(
    pool: Pool, make_task: MakeTask
) -> None:
    task_id = await make_task("running")

    async def write(size: int) -> None:
        async with db.transaction(pool) as connection:
            await events.append(connection, task_id, [Draft("tool.started", {"n": n}) for n in range(size)])

    await asyncio.gather(*(write(size) for size in (1, 5, 2, 7, 3, 4, 6, 1)))
    log = await events.list_page(pool, task_id, limit=100)
    assert [event.sequence for event in log.rows] == list(range(1, 30))
    assert len({event.id for event in log.rows}) == 29
