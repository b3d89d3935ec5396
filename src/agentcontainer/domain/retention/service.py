"""The purge: removes what is older than its retention setting, in small batches, the oldest first.

Each batch is a transaction of its own, so a purge that is interrupted goes on where it was. Blobs are deleted after
their rows.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.deletion import batches
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.deletion import store as deletion_store
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.domain.retention import store
from agentcontainer.domain.retention.model import Due, Kind, Position, retention
from agentcontainer.errors import Unavailable
from agentcontainer.settings import Settings

TASKS_AT_ONCE = 100
FILES_AT_ONCE = 500
MAX_PAUSE_SECONDS = 1.0
BEGINNING = Position(datetime(1970, 1, 1, tzinfo=UTC), "")

logger = logging.getLogger(__name__)


async def due(pool: Pool, settings: Settings) -> dict[Kind, Due]:
    """How much `purge` would remove now, by kind."""
    return {kind: await store.due(pool, kind, age) for kind, age in retention(settings).items()}


async def purge(pool: Pool, blobs: Blobs, settings: Settings) -> dict[Kind, int]:
    """Remove what is older than its retention setting; returns how many of each kind. Also removes what nobody reads:
    rows of completed uploads, and of runners that stopped before the oldest task that is kept."""
    ages = retention(settings)
    removed: dict[Kind, int] = {}
    await deletion.remove_marked(pool, blobs)
    for kind, age in ages.items():
        removed[kind] = await purge_older(pool, blobs, kind, age)
        if removed[kind]:
            logger.info("purged %d %s", removed[kind], kind.replace("_", " "))
    await batches.repeat(pool, lambda connection, limit: store.delete_uploads(connection, store.DAY, limit))
    await store.stop_silent_runners(pool)
    if (age := ages.get("tasks")) is not None:
        await batches.repeat(pool, lambda connection, limit: store.delete_runners(connection, age, limit))
    return removed


async def purge_older(pool: Pool, blobs: Blobs, kind: Kind, age: timedelta) -> int:
    """Remove what is at least that old of one kind; returns how much."""
    return await _PURGES[kind](pool, blobs, age)


async def _purge_events(pool: Pool, _blobs: Blobs, age: timedelta) -> int:
    removed = 0
    async for task_ids in _pages(lambda after: store.old_logs(pool, age, after, TASKS_AT_ONCE)):
        await store.begin_purge_of_events(pool, task_ids)

        async def step(connection: Connection, limit: int, task_ids: Sequence[str] = task_ids) -> int:
            return await store.delete_events(connection, task_ids, limit)

        removed += await batches.repeat(pool, step)
        await store.end_purge_of_events(pool, task_ids)
    return removed


async def _purge_tasks(pool: Pool, blobs: Blobs, age: timedelta) -> int:
    removed = 0
    async for task_ids in _pages(lambda after: store.old_tasks(pool, age, after, TASKS_AT_ONCE)):
        async with db.transaction(pool) as connection:
            deletable = await store.lock_deletable(connection, task_ids)
            await deletion_store.mark(connection, deletable)
        await deletion.remove(pool, blobs, deletable)
        removed += len(deletable)
    return removed


async def _purge_uploads_and_outputs(pool: Pool, blobs: Blobs, age: timedelta) -> int:
    return await _purge_files(pool, blobs, age, are_partial=False)


async def _purge_partial_outputs(pool: Pool, blobs: Blobs, age: timedelta) -> int:
    return await _purge_files(pool, blobs, age, are_partial=True)


async def _purge_files(pool: Pool, blobs: Blobs, age: timedelta, *, are_partial: bool) -> int:
    removed = 0
    pages = _pages(lambda after: store.old_files(pool, age, after, FILES_AT_ONCE, are_partial=are_partial))
    async for file_ids in pages:
        async with db.transaction(pool) as connection:
            unused = await store.lock_unused(connection, file_ids)
            await files.set_deleted(connection, list(unused))
        try:
            await delete_unowned(pool, blobs, list(unused.values()))
        except Unavailable:
            logger.warning("%d blobs of purged files will be deleted later", len(unused))
        removed += len(unused)
    return removed


async def _purge_feed(pool: Pool, _blobs: Blobs, age: timedelta) -> int:
    before = await db.now(pool) - age
    removed, last_id = 0, ""
    while account_ids := await feed.accounts_to_purge(pool, before, last_id):
        for account_id in account_ids:

            async def step(connection: Connection, limit: int, account_id: str = account_id) -> int:
                return await feed.purge(connection, account_id, before, limit)

            removed += await batches.repeat(pool, step)
        last_id = account_ids[-1]
    return removed


async def _purge_answers(pool: Pool, _blobs: Blobs, age: timedelta) -> int:
    return await batches.repeat(pool, lambda connection, limit: store.delete_answers(connection, age, limit))


async def _pages(find: Callable[[Position], Awaitable[list[Position]]]) -> AsyncGenerator[list[str]]:
    """The ids that `find` returns, page by page. After each page it waits as long as the page took, so that a purge
    leaves room for others."""
    after = BEGINNING
    while page := await find(after):
        begin = time.monotonic()
        yield [position.id for position in page]
        after = page[-1]
        await asyncio.sleep(min(time.monotonic() - begin, MAX_PAUSE_SECONDS))


_PURGES: dict[Kind, Callable[[Pool, Blobs, timedelta], Awaitable[int]]] = {
    "events": _purge_events,
    "tasks": _purge_tasks,
    "files": _purge_uploads_and_outputs,
    "partial_outputs": _purge_partial_outputs,
    "feed": _purge_feed,
    "idempotency": _purge_answers,
}
