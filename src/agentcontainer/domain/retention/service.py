"""The purge: removes what is older than its retention setting, in small batches, the oldest first.

Each batch is a transaction of its own, so a purge that is interrupted goes on where it was. Blobs are deleted after
their rows.
"""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.audit import store as audit
from agentcontainer.domain.cli_logins import store as cli_logins
from agentcontainer.domain.deletion import batches
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.deletion import store as deletion_store
from agentcontainer.domain.deletion.batches import BatchSize
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.domain.retention import store
from agentcontainer.domain.retention.model import Amount, Kind, Position, retention
from agentcontainer.domain.sessions import store as sessions
from agentcontainer.domain.usage import store as usage
from agentcontainer.errors import Unavailable
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics

TASKS_AT_ONCE = 100
FILES_AT_ONCE = 500
ENTRIES_AT_ONCE = 500
BEGINNING = Position(datetime(1970, 1, 1, tzinfo=UTC), "")

logger = logging.getLogger(__name__)


async def due(pool: Pool, settings: Settings) -> dict[Kind, Amount]:
    """How much `purge` would remove now, by kind."""
    return {kind: await store.due(pool, kind, age) for kind, age in retention(settings).items()}


async def purge(pool: Pool, blobs: Blobs, settings: Settings) -> dict[Kind, Amount]:
    """Remove what is older than its retention setting; returns how much of each kind. Also removes what nobody reads:
    rows of completed uploads, and of runners that stopped before the oldest task that is kept."""
    ages = retention(settings)
    removed: dict[Kind, Amount] = {}
    await deletion.remove_marked(pool, blobs)
    for kind, age in ages.items():
        removed[kind] = await purge_older(pool, blobs, kind, age)
        if rows := removed[kind].rows:
            logger.info("purged %d %s", rows, kind.replace("_", " "))
    await batches.repeat(pool, lambda connection, limit: store.delete_uploads(connection, store.DAY, limit))
    await batches.repeat(pool, store.delete_daily_use)
    await batches.repeat(pool, sessions.delete_expired)
    await batches.repeat(pool, cli_logins.delete_expired)
    await store.stop_silent_runners(pool)
    if (age := ages.get("tasks")) is not None:
        await batches.repeat(pool, lambda connection, limit: store.delete_runners(connection, age, limit))
    return removed


async def purge_older(pool: Pool, blobs: Blobs, kind: Kind, age: timedelta) -> Amount:
    """Remove what is at least that old of one kind; returns how much."""
    removed = Amount()
    async for part in _PURGES[kind](pool, blobs, age):
        metrics.PURGED_ROWS.labels(kind).inc(part.rows)
        removed += part
    return removed


async def _purge_events(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    size = BatchSize(TASKS_AT_ONCE)
    async for task_ids in _pages(lambda after: store.old_logs(pool, age, after, size.rows)):
        with size.timed():
            await store.begin_purge_of_events(pool, task_ids)

        async def step(connection: Connection, limit: int, task_ids: Sequence[str] = task_ids) -> Amount:
            return await store.delete_events(connection, task_ids, limit)

        yield await _repeat(pool, step)
        await store.end_purge_of_events(pool, task_ids)


async def _purge_tasks(pool: Pool, blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    size = BatchSize(TASKS_AT_ONCE)
    async for task_ids in _pages(lambda after: store.old_tasks(pool, age, after, size.rows)):
        async with db.transaction(pool) as connection:
            with size.timed():
                deletable = await store.lock_deletable(connection, task_ids)
                size_bytes = await store.size_of_tasks(connection, deletable)
                await deletion_store.mark(connection, deletable)
        await deletion.remove(pool, blobs, deletable)
        yield Amount(len(deletable), size_bytes)


def _purge_uploads_and_outputs(pool: Pool, blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    return _purge_files(pool, blobs, age, are_partial=False)


def _purge_partial_outputs(pool: Pool, blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    return _purge_files(pool, blobs, age, are_partial=True)


async def _purge_files(
    pool: Pool, blobs: Blobs, age: timedelta, *, are_partial: bool
) -> AsyncGenerator[Amount]:
    size = BatchSize(FILES_AT_ONCE)
    async for file_ids in _pages(
        lambda after: store.old_files(pool, age, after, size.rows, are_partial=are_partial)
    ):
        async with db.transaction(pool) as connection:
            with size.timed():
                unused = await store.lock_unused(connection, file_ids)
                await files.set_deleted(connection, [file.id for file in unused])
        try:
            await delete_unowned(pool, blobs, [file.blob_key for file in unused])
        except Unavailable:
            logger.warning("%d blobs of purged files will be deleted later", len(unused))
        yield Amount(len(unused), sum(file.size_bytes for file in unused))


async def _purge_feed(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    before, last_id = await db.now(pool) - age, ""
    while account_ids := await feed.accounts_to_purge(pool, before, last_id):
        for account_id in account_ids:
            has_more = True
            while has_more:
                begin = time.monotonic()
                sizes = await feed.purge(pool, account_id, before, ENTRIES_AT_ONCE)
                yield Amount(len(sizes), sum(sizes))
                await batches.rest(begin)
                has_more = len(sizes) == ENTRIES_AT_ONCE
        last_id = account_ids[-1]


async def _purge_answers(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    yield await _repeat(pool, lambda connection, limit: store.delete_answers(connection, age, limit))


async def _repeat(pool: Pool, delete: Callable[[Connection, int], Awaitable[Amount]]) -> Amount:
    """`batches.repeat` of a step that says how much it deleted; returns how much all of them deleted."""
    deleted_bytes = 0

    async def step(connection: Connection, limit: int) -> int:
        nonlocal deleted_bytes
        deleted = await delete(connection, limit)
        deleted_bytes += deleted.bytes
        return deleted.rows

    rows = await batches.repeat(pool, step)
    return Amount(rows, deleted_bytes)


async def _purge_audit_log(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    age = max(age, audit.MIN_AGE)

    async def step(connection: Connection, limit: int) -> Amount:
        sizes = await audit.purge(connection, age, limit)
        return Amount(len(sizes), sum(sizes))

    yield await _repeat(pool, step)


async def _purge_webhook_deliveries(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    yield await _repeat(
        pool, lambda connection, limit: store.delete_webhook_deliveries(connection, age, limit)
    )


async def _purge_usage(pool: Pool, _blobs: Blobs, age: timedelta) -> AsyncGenerator[Amount]:
    async def step(connection: Connection, limit: int) -> Amount:
        sizes = await usage.purge(connection, age, limit)
        return Amount(len(sizes), sum(sizes))

    yield await _repeat(pool, step)


async def _pages(find: Callable[[Position], Awaitable[list[Position]]]) -> AsyncGenerator[list[str]]:
    """The ids that `find` returns, page by page, with a rest after each page."""
    after = BEGINNING
    while page := await find(after):
        begin = time.monotonic()
        yield [position.id for position in page]
        after = page[-1]
        await batches.rest(begin)


# Each yields how much it removed, page by page.
_PURGES: dict[Kind, Callable[[Pool, Blobs, timedelta], AsyncGenerator[Amount]]] = {
    "events": _purge_events,
    "tasks": _purge_tasks,
    "files": _purge_uploads_and_outputs,
    "partial_outputs": _purge_partial_outputs,
    "feed": _purge_feed,
    "idempotency": _purge_answers,
    "audit": _purge_audit_log,
    "webhook_deliveries": _purge_webhook_deliveries,
    "usage": _purge_usage,
}
