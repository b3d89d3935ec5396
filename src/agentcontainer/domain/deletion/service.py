"""Deletes tasks for good: first a task is marked, so that nobody sees it any more, then its rows and blobs go.

The rows go in small batches, each a transaction of its own. If the process dies in between, the housekeeping goes on
from the mark.
"""

import logging
from collections.abc import Sequence

import asyncpg

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.deletion import batches, store
from agentcontainer.domain.deletion.model import Deletable
from agentcontainer.domain.deletion.store import Step
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.domain.files.use import find_use
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import Conflict, NotFound, Unavailable

TASKS_AT_ONCE = 50

logger = logging.getLogger(__name__)


async def delete(
    pool: Pool,
    blobs: Blobs,
    account_id: str,
    task_id: str,
    *,
    caller: Principal | None = None,
    by: Actor = COMMAND_LINE,
) -> None:
    """Delete an ended task and all that belongs to it, except its ledger entries.

    Raises:
        NotFound: no such task.
        Conflict: it has not ended, its partial outputs are still collected, or one of its files is used.
    """
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, account_id, task_id)
        if task is None:
            raise NotFound(f"Task {task_id} does not exist.")
        # A caller who is bound to agents does not learn of tasks of others.
        names_user = caller is None or caller.agent_ids is None
        if (fault := await fault_of(connection, task, names_user=names_user)) is not None:
            raise Conflict(fault)
        await store.mark(connection, [task_id])
        await audit.record(connection, by, "task.deleted", task_id, account_id=account_id)
    await remove(pool, blobs, [task_id])


async def fault_of(connection: Connection, task: Deletable, *, names_user: bool = True) -> str | None:
    """Why the task may not be deleted now, as a sentence. The caller has locked its row. None: it may.

    `names_user`: the sentence names what uses one of its files.
    """
    if task.status not in TERMINAL:
        return f"Task {task.id} is {task.status} and cannot be deleted: it has not ended. Cancel it first."
    if task.is_collecting:
        return f"The partial outputs of task {task.id} are still being stored. Try again in a minute."
    # A transaction that is about to use one of the files has locked its row, so this waits for it.
    outputs = await files.lock_outputs(connection, task.id)
    if outputs and (use := await find_use(connection, task.account_id, outputs)):
        return f"File {use.file_id} of task {task.id} is used{f' by {use.user}' if names_user else ''}."
    return None


async def remove(pool: Pool, blobs: Blobs, task_ids: Sequence[str]) -> None:
    """Remove the rows of marked tasks and the blobs that these name. If the store is unavailable, the clean-up of
    blobs deletes them later."""
    for step in store.STEPS.values():
        await remove_all(pool, blobs, step, task_ids)
    try:
        async with db.transaction(pool) as connection:
            await store.remove_tasks(connection, task_ids)
    except asyncpg.ForeignKeyViolationError as error:  # a row came since its step
        logger.warning("the rows of deleted tasks will be removed later: %s", error)


async def remove_marked(pool: Pool, blobs: Blobs) -> int:
    """Remove what belongs to tasks that were marked by a process that died, or by the purge; returns how many."""
    removed = 0
    while task_ids := await store.marked(pool, TASKS_AT_ONCE):
        await remove(pool, blobs, task_ids)
        removed += len(task_ids)
    return removed


async def remove_all(pool: Pool, blobs: Blobs, step: Step, task_ids: Sequence[str]) -> None:
    """Repeat a step until it finds nothing more, and delete the blobs of its rows."""
    keys: list[str] = []

    async def remove_batch(connection: Connection, limit: int) -> int:
        removed = await step(connection, task_ids, limit)
        keys.extend(removed.keys)
        return removed.rows

    await batches.repeat(pool, remove_batch)
    try:
        await delete_unowned(pool, blobs, keys)
    except Unavailable:
        logger.warning("%d blobs of deleted tasks will be deleted later", len(keys))
