"""Deletes accounts for good: first the account is marked, so that nobody can use it, then its rows and blobs go.

What stays is in `account_store.KEPT`. The rows go in small batches, in the housekeeping, which goes on from the mark
after a crash.
"""

import logging
import time

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.deletion import account_store, batches, service
from agentcontainer.domain.deletion import store as task_store
from agentcontainer.domain.deletion.model import Cancelled
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.settings import Settings

TASKS_AT_ONCE = 50
CANCELLED_AT_ONCE = 1000

logger = logging.getLogger(__name__)


async def cancel_tasks(
    pool: Pool, settings: Settings, account_id: str, *, by: Actor = COMMAND_LINE
) -> Cancelled:
    """Cancel tasks of a suspended account that have not ended, `CANCELLED_AT_ONCE` at most. A repeat continues.

    Raises:
        NotFound: there is no such account.
        Conflict: it is not suspended, and could dispatch more.
    """
    async with db.transaction(pool) as connection:
        account = await account_store.lock(connection, account_id)
        if account is None:
            raise _no_account(account_id)
        if account.suspended_at is None:
            raise Conflict(
                f"Account {account_id} is not suspended, so it could dispatch more tasks. Suspend it first."
            )
        await audit.record(connection, by, "account.tasks_cancelled", account_id, account_id=account_id)
    count = await _cancel(pool, settings, account_id, CANCELLED_AT_ONCE)
    return Cancelled(count, await account_store.count_live(pool, account_id))


async def delete(pool: Pool, account_id: str, *, needs_export: bool = True, by: Actor = COMMAND_LINE) -> None:
    """Delete a suspended account for good. Nobody sees it from now on; the housekeeping removes what it had.

    Raises:
        NotFound: there is no such account.
        Conflict: it is not suspended, has tasks that have not ended, or has data that no export has (`needs_export`).
    """
    async with db.transaction(pool) as connection:
        account = await account_store.lock(connection, account_id)
        if account is None:
            raise _no_account(account_id)
        if account.suspended_at is None:
            raise Conflict(f"Account {account_id} is not suspended. Suspend it first.")
        if live := await account_store.count_live(connection, account_id):
            raise Conflict(f"Account {account_id} has {live} tasks that have not ended. Cancel them first.")
        if needs_export and not await account_store.is_exported(connection, account_id):
            raise Conflict(
                f"Account {account_id} has not been exported since it was suspended and its last task ended. Export "
                "it first, or delete it without an export."
            )
        await account_store.mark(connection, account_id)
        await audit.record(connection, by, "account.deleted", account_id, account_id=account_id)


async def remove_marked(pool: Pool, blobs: Blobs, settings: Settings) -> int:
    """Remove what deleted accounts had; returns of how many accounts all of it is gone."""
    removed = 0
    for account_id in await account_store.marked(pool):
        try:
            is_removed = await _remove(pool, blobs, settings, account_id)
        except asyncpg.ForeignKeyViolationError:
            is_removed = False
        if is_removed:
            removed += 1
        else:  # a row came since its step
            logger.warning("the rest of the deleted account %s will be removed later", account_id)
    return removed


async def _remove(pool: Pool, blobs: Blobs, settings: Settings, account_id: str) -> bool:
    """False: something is left, because rows came that refer to it.

    Raises:
        ForeignKeyViolationError: as above.
    """
    # A request that was answered while the account was being deleted may have dispatched a task.
    while await _cancel(pool, settings, account_id, CANCELLED_AT_ONCE):
        pass
    before: list[str] = []
    while task_ids := await account_store.tasks(pool, account_id, TASKS_AT_ONCE):
        if task_ids == before:
            return False
        begin = time.monotonic()
        async with db.transaction(pool) as connection:
            await task_store.mark(connection, task_ids)
        await service.remove(pool, blobs, task_ids)
        before = task_ids
        await batches.rest(begin)
    for step in account_store.STEPS.values():
        await service.remove_all(pool, blobs, step, [account_id])
    await account_store.set_removed(pool, account_id)
    return True


async def _cancel(pool: Pool, settings: Settings, account_id: str, limit: int) -> int:
    """Cancel tasks that have not ended, `limit` at most; returns how many."""
    count = 0
    for task_id in await account_store.live_tasks(pool, account_id, limit):
        try:
            await tasks.cancel(pool, settings, account_id, task_id)
        except (Conflict, NotFound):  # it has ended, or was deleted, meanwhile
            continue
        count += 1
    return count


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"Account {account_id} does not exist.")
