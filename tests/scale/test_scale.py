"""What every named query reads does not grow with the history: 1,000 tasks against a million.

Counted are the buffers of our tables, their indexes and TOAST that a call of the product's own function touches.
SCALE_TASKS sets another number of tasks for the large database.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.files import cleanup, quota
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.retention import store as retention_store
from agentcontainer.domain.tasks import creation, events, listing, queue, service, store
from agentcontainer.domain.tasks.model import Claim, Dispatch, TaskFilter
from agentcontainer.domain.tasks.reconcile import reconcile
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.embedded.postgres import Postgres
from tests import data_folder
from tests.scale.history import LIVE
from tests.scale.platform import Platform, kept_folder, opened

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600)]

SMALL = 1000
LARGE = int(os.environ.get("SCALE_TASKS", "1000000"))
FACTOR = 1.5
DEEPER_INDEXES = 12  # buffers of one call: an index of a million rows has one or two more levels
# A search for words that many titles have, but not many of the newest, reads at most MAX_ROWS_READ tasks.
MANY_MATCHES = "list tasks by words, many matches"
LONGEST_WAIT = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks AS waiting
WHERE NOT granted AND pg_blocking_pids(pid) && ARRAY(SELECT pid FROM pg_stat_activity WHERE application_name = 'purge')
"""


async def _list(platform: Platform, **filters: Any) -> None:
    is_descending = filters.pop("is_descending", True)
    page = await listing.list_page(
        platform.pool, platform.account_id, TaskFilter(**filters), after=None, limit=20,
        is_descending=is_descending,
    )  # fmt: skip
    assert page.rows


def _listed(**filters: Any) -> Callable[[Platform], Awaitable[None]]:
    return lambda platform: _list(platform, **filters)


async def _around_the_middle(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.middle)
    assert task is not None
    await _list(platform, created_before=task.created_at)


async def _completed(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.middle)
    assert task is not None and task.completed_at is not None
    await _list(platform, completed_before=task.completed_at)


async def _by_id(platform: Platform) -> None:
    await _list(platform, text=platform.middle)


async def _dispatch(platform: Platform) -> str:
    task = await creation.dispatch(
        platform.pool, platform.settings, platform.vault, platform.account_id, "agt_standard_data",
        Dispatch("Count the rows."),
    )  # fmt: skip
    return task.id


async def _claim_in(connection: Connection) -> Claim | None:
    for name in (
        "enable_sort",
        "enable_seqscan",
        "enable_bitmapscan",
    ):  # as `queue.prepare`, for this claim only
        await connection.execute(f"SET LOCAL {name} = off")
    return await queue.claim(connection, "rnr_1", "any", 86_400.0)


async def _claim(platform: Platform) -> None:
    """A claim that is rolled back."""
    async with platform.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await _claim_in(connection)
        await transaction.rollback()


async def _dispatch_claim_end(platform: Platform) -> None:
    await _dispatch(platform)
    async with db.transaction(platform.pool) as connection:
        claim = await _claim_in(connection)
    if claim is None:  # others are claiming the tasks that there are
        return
    async with db.transaction(platform.pool) as connection:
        assert await service.end(
            connection,
            platform.settings,
            claim.task_id,
            EndReason.COMPLETE,
            attempt=claim.attempt,
            message="Done.",
        )


async def _cancel(platform: Platform) -> None:
    await service.cancel(platform.pool, platform.settings, platform.account_id, await _dispatch(platform))


async def _prepare(platform: Platform) -> None:
    await uploads.prepare(
        platform.pool, platform.settings, platform.vault, platform.blobs, platform.account_id, "a.csv",
        "text/csv", 10,
    )  # fmt: skip


async def _delete_file(platform: Platform) -> None:
    file_id = await platform.pool.fetchval(
        "SELECT id FROM files WHERE account_id = $1 AND task_id IS NULL AND deleted_at IS NULL ORDER BY id LIMIT 1",
        platform.account_id,
    )
    await files.delete(platform.pool, platform.blobs, platform.account_id, file_id)


async def _delete_task(platform: Platform) -> None:
    task_id = await platform.pool.fetchval(
        "SELECT id FROM tasks WHERE account_id = $1 AND status = 'finished' ORDER BY id LIMIT 1",
        platform.account_id,
    )
    await deletion.delete(platform.pool, platform.blobs, platform.account_id, task_id)


async def _purge_batch_of_tasks(platform: Platform) -> None:
    due = await retention_store.old_tasks(platform.pool, timedelta(0), retention.BEGINNING, 20)
    async with db.transaction(platform.pool) as connection:
        task_ids = await retention_store.lock_deletable(connection, [position.id for position in due])
        await deletion.store.mark(connection, task_ids)
    assert len(task_ids) == 20
    await deletion.remove(platform.pool, platform.blobs, task_ids)


async def _purge_batch_of_events(platform: Platform) -> None:
    due = await retention_store.old_logs(platform.pool, timedelta(0), retention.BEGINNING, 20)
    task_ids = [position.id for position in due]
    await retention_store.begin_purge_of_events(platform.pool, task_ids)
    async with db.transaction(platform.pool) as connection:
        assert await retention_store.delete_events(connection, task_ids, 1000) > 0
    await retention_store.end_purge_of_events(platform.pool, task_ids)


async def _purge_batch_of_files(platform: Platform) -> None:
    due = await retention_store.old_files(
        platform.pool, timedelta(0), retention.BEGINNING, 20, are_partial=False
    )
    async with db.transaction(platform.pool) as connection:
        unused = await retention_store.lock_unused(connection, [position.id for position in due])
        assert len(unused) == 20
        await file_store.set_deleted(connection, list(unused))
    await cleanup.delete_unowned(platform.pool, platform.blobs, list(unused.values()))


def _page(
    function: Callable[..., Awaitable[Any]], *arguments: str, **options: Any
) -> Callable[[Platform], Awaitable[Any]]:
    return lambda platform: function(
        platform.pool, *(getattr(platform, name) for name in arguments), **options
    )


CALLS: dict[str, Callable[[Platform], Awaitable[Any]]] = {
    "get task": _page(store.get, "middle"),
    "list tasks": _listed(),
    "list tasks, oldest first": _listed(is_descending=False),
    "list tasks, summary": _listed(is_summary=True),
    "list tasks by status pending": _listed(statuses=frozenset({Status.PENDING})),
    "list tasks by status failed": _listed(statuses=frozenset({Status.FAILED})),
    "list tasks by two statuses": _listed(statuses=frozenset({Status.PENDING, Status.FAILED})),
    "list tasks by error code": _listed(error_code="agent_stopped"),
    "list tasks by agent": _listed(agent_id="agt_standard_data"),
    "list tasks by agent and status": _listed(
        agent_id="agt_standard_data", statuses=frozenset({Status.FINISHED})
    ),
    "list tasks by mode": _listed(mode="conversation"),
    "list tasks by metadata": _listed(metadata={"customer": "c-17"}),
    "list tasks by createdBefore": _around_the_middle,
    "list tasks by completedBefore": _completed,
    "list tasks by id": _by_id,
    "list tasks by words, few matches": _listed(text="report c000017"),
    MANY_MATCHES: _listed(text="report 17"),
    "list tasks by words, all match": _listed(text="rep customer"),
    "list tasks by words and status": _listed(text="c000017", statuses=frozenset({Status.FINISHED})),
    "list events": _page(events.list_page, "middle", limit=20),
    "list files": _page(
        file_store.list_page, "account_id", task_id=None, after_id=None, limit=20, is_descending=True
    ),
    "list ledger": _page(ledger.list_page, "account_id", after_id=None, limit=20, is_descending=True),
    "list feed": _page(feed.list_page, "account_id", limit=20, is_descending=True),
    "quota check": _page(quota.used_bytes, "account_id"),
    "dispatch": _dispatch,
    "claim": _claim,
    "dispatch, claim and end": _dispatch_claim_end,
    "dispatch and cancel": _cancel,
    "prepare upload": _prepare,
    "housekeeping: reconcile": lambda platform: reconcile(platform.pool, platform.settings),
    "housekeeping: blobs": lambda platform: cleanup.clean_up(platform.pool, platform.blobs),
    "housekeeping: checkpoints": lambda platform: checkpoints.clean_up(
        platform.pool, platform.blobs, timedelta(0)
    ),
    "housekeeping: deleted tasks": lambda platform: deletion.remove_marked(platform.pool, platform.blobs),
    "housekeeping: feed": lambda platform: feed.number(platform.pool, 100),
    "delete file": _delete_file,
    "delete task": _delete_task,
    "purge of 20 tasks": _purge_batch_of_tasks,
    "purge of the events of 20 tasks": _purge_batch_of_events,
    "purge of 20 files": _purge_batch_of_files,
    "purge of 20 feed entries": lambda platform: feed.purge(
        platform.pool, platform.account_id, datetime.now(UTC), 20
    ),
    "purge of 20 stored responses": lambda platform: retention_store.delete_answers(
        platform.pool,
        timedelta(0),
        20,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platforms(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[int, Platform]]:
    folder = kept_folder() or tmp_path_factory.mktemp("server")
    folder.chmod(0o755)
    server = Postgres(folder, service_uid=data_folder.SERVICE_UID, is_durable=False)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        url = await server.start()
        blobs = tmp_path_factory.mktemp("blobs")
        yield {count: await stack.enter_async_context(opened(url, count, blobs)) for count in (SMALL, LARGE)}


async def test_what_is_read_does_not_grow_with_the_history(platforms: dict[int, Platform]) -> None:
    small, large = platforms[SMALL], platforms[LARGE]
    for name, call in CALLS.items():
        for platform in (small, large):
            await platform.measure(name, call)
    print(table(small, large))
    assert large.measured[MANY_MATCHES].buffers < 2 * listing.MAX_ROWS_READ
    grown = [
        name for name in CALLS
        if name != MANY_MATCHES
        and large.measured[name].buffers > FACTOR * small.measured[name].buffers + DEEPER_INDEXES
    ]  # fmt: skip
    assert grown == []
    assert {name: call.whole_tables for name, call in large.measured.items() if call.whole_tables} == {}


async def test_a_purge_under_load_makes_nobody_wait(platforms: dict[int, Platform]) -> None:
    """A tenth of the tasks is purged while others dispatch, end and upload. Nobody waits for a lock of the purge for
    200 ms."""
    platform = platforms[LARGE]
    count = LARGE // 10
    age = await platform.pool.fetchval(
        "SELECT now() - completed_at FROM tasks WHERE completed_at IS NOT NULL AND deleted_at IS NULL "
        "ORDER BY completed_at OFFSET $1 LIMIT 1", count,
    )  # fmt: skip
    url = platform.url
    waits: list[float] = []
    latencies: list[float] = []

    async def watch(pool: Pool) -> None:
        while True:
            waits.append(float(await pool.fetchval(LONGEST_WAIT)))
            await asyncio.sleep(0.02)

    async def work(pool: Pool) -> None:
        worker = replace(platform, pool=pool)
        while True:
            begin = time.perf_counter()
            await _dispatch_claim_end(worker)
            await _prepare(worker)
            latencies.append(time.perf_counter() - begin)

    purging = db.pool(f"{url}&application_name=purge", max_size=1)
    async with purging as purge_pool, db.pool(url, max_size=4) as pool, db.pool(url, max_size=1) as watcher:
        loops = [asyncio.create_task(work(pool)) for _ in range(3)] + [asyncio.create_task(watch(watcher))]
        begin = time.monotonic()
        removed = await retention.purge_older(purge_pool, platform.blobs, "tasks", age)
        seconds = time.monotonic() - begin
        for loop in loops:
            assert not loop.done()
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    print(
        f"\npurged {removed} tasks in {seconds:.0f} s beside {len(latencies)} dispatches, ends and uploads "
        f"(longest {max(latencies) * 1000:.0f} ms); longest wait for a lock of the purge {max(waits) * 1000:.0f} ms"
    )
    assert removed >= count - LIVE
    assert max(waits) < 0.2


def table(small: Platform, large: Platform) -> str:
    rows: list[str] = []
    for name in CALLS:
        before, after = small.measured[name], large.measured[name]
        cells = [
            name, before.buffers, after.buffers, f"{after.buffers / max(1, before.buffers):.2f}",
            f"{before.milliseconds:.1f}", f"{after.milliseconds:.1f}", ", ".join(after.indexes + after.whole_tables),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    head = f"| query | buffers at {SMALL} | at {LARGE} | ratio | ms at {SMALL} | at {LARGE} | indexes at {LARGE} |"
    return "\n".join(
        ["", head, "| --- | --: | --: | --: | --: | --: | --- |", *rows, "", str(datetime.now(UTC))]
    )
