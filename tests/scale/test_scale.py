"""What every named query reads does not grow with the history: 1,000 tasks against a million.

Counted are the buffers of our tables, their indexes and TOAST that a call of the product's own function touches.
SCALE_TASKS sets another number of tasks for the large database.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.files import cleanup, quota
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.retention import store as retention_store
from agentcontainer.domain.tasks import creation, events, listing, queue, service, store
from agentcontainer.domain.tasks.model import Dispatch, TaskFilter
from agentcontainer.domain.tasks.reconcile import reconcile
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.settings import Settings
from tests.conftest import url_of_database
from tests.scale.history import LIVE, History, fill

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

SMALL = 1000
LARGE = int(os.environ.get("SCALE_TASKS", "1000000"))
FACTOR = 1.5
DEEPER_INDEXES = 12  # buffers of one call: an index of a million rows has one or two more levels
MATCHES_READ = 20_000  # buffers: a search for words that many titles have reads all that match
BUFFERS = """
SELECT sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0)
    + coalesce(idx_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0)
    + coalesce(tidx_blks_hit, 0) + coalesce(tidx_blks_read, 0))::bigint
FROM pg_statio_user_tables
"""
LONGEST_WAIT = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks AS waiting
WHERE NOT granted AND pg_blocking_pids(pid) && ARRAY(SELECT pid FROM pg_stat_activity WHERE application_name = 'purge')
"""


@dataclass
class Platform:
    """A filled database with what the product's functions need."""

    history: History
    pool: Pool
    settings: Settings
    vault: Vault
    blobs: Blobs
    buffers: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)

    async def measure(self, name: str, call: Callable[["Platform"], Awaitable[Any]]) -> None:
        """Count what the third call touches: the first two fill caches and plans."""
        for _ in range(3):
            before = await self._touched()
            begin = time.perf_counter()
            await call(self)
            self.milliseconds[name] = (time.perf_counter() - begin) * 1000
            self.buffers[name] = await self._touched() - before

    async def _touched(self) -> int:
        await self.pool.fetchval("SELECT pg_stat_force_next_flush()")
        return await self.pool.fetchval(BUFFERS)


async def _list(platform: Platform, **filters: Any) -> None:
    is_descending = filters.pop("is_descending", True)
    page = await listing.list_page(
        platform.pool, platform.history.account_id, TaskFilter(**filters), after=None, limit=20,
        is_descending=is_descending,
    )  # fmt: skip
    assert page.rows


def _listed(**filters: Any) -> Callable[[Platform], Awaitable[None]]:
    return lambda platform: _list(platform, **filters)


async def _around_the_middle(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.history.middle)
    assert task is not None
    await _list(platform, created_before=task.created_at)


async def _completed(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.history.middle)
    assert task is not None and task.completed_at is not None
    await _list(platform, completed_before=task.completed_at)


async def _by_id(platform: Platform) -> None:
    await _list(platform, text=platform.history.middle)


async def _by_words(platform: Platform) -> None:
    await _list(platform, text="report customer 17")


async def _dispatch(platform: Platform) -> str:
    task = await creation.dispatch(
        platform.pool, platform.settings, platform.vault, platform.history.account_id, "agt_standard_data",
        Dispatch("Count the rows."),
    )  # fmt: skip
    return task.id


async def _dispatch_claim_end(platform: Platform) -> None:
    await _dispatch(platform)
    async with db.transaction(platform.pool) as connection:
        for name in (
            "enable_sort",
            "enable_seqscan",
            "enable_bitmapscan",
        ):  # as `queue.prepare`, for this claim only
            await connection.execute(f"SET LOCAL {name} = off")
        claim = await queue.claim(connection, "rnr_1", "any", 86_400.0)
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
    await service.cancel(
        platform.pool, platform.settings, platform.history.account_id, await _dispatch(platform)
    )


async def _prepare(platform: Platform) -> None:
    await uploads.prepare(
        platform.pool, platform.settings, platform.vault, platform.blobs, platform.history.account_id, "a.csv",
        "text/csv", 10,
    )  # fmt: skip


async def _delete_file(platform: Platform) -> None:
    file_id = await platform.pool.fetchval(
        "SELECT id FROM files WHERE account_id = $1 AND task_id IS NULL AND deleted_at IS NULL ORDER BY id LIMIT 1",
        platform.history.account_id,
    )
    await files.delete(platform.pool, platform.blobs, platform.history.account_id, file_id)


async def _delete_task(platform: Platform) -> None:
    task_id = await platform.pool.fetchval(
        "SELECT id FROM tasks WHERE account_id = $1 AND status = 'finished' ORDER BY id LIMIT 1",
        platform.history.account_id,
    )
    await deletion.delete(platform.pool, platform.blobs, platform.history.account_id, task_id)


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
        platform.pool, *(getattr(platform.history, name) for name in arguments), **options
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
    "list tasks by words": _by_words,
    "list events": _page(events.list_page, "middle", limit=20),
    "list files": _page(
        file_store.list_page, "account_id", task_id=None, after_id=None, limit=20, is_descending=True
    ),
    "list ledger": _page(ledger.list_page, "account_id", after_id=None, limit=20, is_descending=True),
    "quota check": _page(quota.used_bytes, "account_id"),
    "dispatch": _dispatch,
    "dispatch, claim and end": _dispatch_claim_end,
    "dispatch and cancel": _cancel,
    "prepare upload": _prepare,
    "housekeeping: reconcile": lambda platform: reconcile(platform.pool, platform.settings),
    "housekeeping: blobs": lambda platform: cleanup.clean_up(platform.pool, platform.blobs),
    "housekeeping: checkpoints": lambda platform: checkpoints.clean_up(
        platform.pool, platform.blobs, timedelta(0)
    ),
    "housekeeping: deleted tasks": lambda platform: deletion.remove_marked(platform.pool, platform.blobs),
    "delete file": _delete_file,
    "delete task": _delete_task,
    "purge of 20 tasks": _purge_batch_of_tasks,
    "purge of the events of 20 tasks": _purge_batch_of_events,
    "purge of 20 files": _purge_batch_of_files,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platforms(
    postgres_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[int, Platform]]:
    tmp_path = tmp_path_factory.mktemp("blobs")
    admin = await asyncpg.connect(postgres_url, timeout=30)
    opened: dict[int, Platform] = {}
    pools: list[Any] = []
    for count in (SMALL, LARGE):
        name = f"scale_{count}"
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
        url = url_of_database(postgres_url, name)
        opening = db.pool(url, max_size=1)
        pools.append(opening)
        pool = await opening.__aenter__()
        await standard.install(pool)
        account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=10**15)
        begin = time.monotonic()
        history = await fill(url, account_id, count)
        print(f"\n{count} tasks were made in {time.monotonic() - begin:.0f} s")
        configured = settings.load(
            data_dir=Path("/tmp"), database_url=url, storage_url=f"file://{tmp_path}/{count}",
            secret_key="k" * 32, file_quota_bytes=2**50,
        )  # fmt: skip
        blobs = Blobs(f"file://{tmp_path}/{count}")
        installation_id: str = await pool.fetchval("SELECT id FROM installation")
        await blobs.put(INSTALLATION_ID_KEY, _chunk(installation_id.encode()), 1000)
        opened[count] = Platform(history, pool, configured, Vault("k" * 32), blobs)
    yield opened
    for opening in pools:
        await opening.__aexit__(None, None, None)
    for count in opened:
        await admin.execute(f"DROP DATABASE scale_{count} WITH (FORCE)")
    await admin.close()


async def test_what_is_read_does_not_grow_with_the_history(platforms: dict[int, Platform]) -> None:
    small, large = platforms[SMALL], platforms[LARGE]
    for name, call in CALLS.items():
        for platform in (small, large):
            await platform.measure(name, call)
    print(table(small, large))
    assert large.buffers["list tasks by words"] < MATCHES_READ
    measured = [name for name in CALLS if name != "list tasks by words"]
    grown = [name for name in measured if large.buffers[name] > FACTOR * small.buffers[name] + DEEPER_INDEXES]
    assert grown == []


async def test_a_purge_under_load_makes_nobody_wait(platforms: dict[int, Platform]) -> None:
    """A tenth of the tasks is purged while others dispatch, end and upload. Nobody waits for a lock of the purge for
    200 ms."""
    platform = platforms[LARGE]
    count = LARGE // 10
    age = await platform.pool.fetchval(
        "SELECT now() - completed_at FROM tasks WHERE completed_at IS NOT NULL AND deleted_at IS NULL "
        "ORDER BY completed_at OFFSET $1 LIMIT 1", count,
    )  # fmt: skip
    url = platform.history.url
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


async def _chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content


def table(small: Platform, large: Platform) -> str:
    rows = [
        f"| {name} | {small.buffers[name]} | {large.buffers[name]} | "
        f"{large.buffers[name] / max(1, small.buffers[name]):.2f} | {small.milliseconds[name]:.1f} | "
        f"{large.milliseconds[name]:.1f} |"
        for name in CALLS
    ]
    head = f"| query | buffers at {SMALL} | at {LARGE} | ratio | ms at {SMALL} | at {LARGE} |"
    return "\n".join(["", head, "| --- | --- | --- | --- | --- | --- |", *rows, "", str(datetime.now(UTC))])
