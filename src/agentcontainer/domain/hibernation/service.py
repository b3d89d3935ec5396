"""Begins a hibernation, and ends it: by the client, a wake link, the deadline, or a message that was not received yet.

The task's row is locked, so of several simultaneous wakes exactly one succeeds.
"""

from typing import Literal

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.tasks import events, store
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.model import Claim, Hibernation, Task
from agentcontainer.domain.tasks.state import Status
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.settings import Settings

WakeKind = Literal["message", "external_wake", "deadline", "link"]

_DUE = """
SELECT id FROM tasks WHERE status = 'hibernating' AND hibernate_until_at <= now() ORDER BY hibernate_until_at LIMIT 500
"""
_IS_DUE = """
SELECT true FROM tasks WHERE id = $1 AND status = 'hibernating' AND hibernate_until_at <= now() FOR UPDATE
"""


async def begin(connection: Connection, claim: Claim, hibernation: Hibernation) -> bool:
    """End the attempt and let its task hibernate. The task is woken at once if its agent has not received a message.
    False, and nothing written: the claim is lost."""
    if not await tasks.hibernate(connection, claim, hibernation):
        return False
    if await conversations.has_queued(connection, claim.task_id):
        await wake_locked(connection, claim.task_id, "message")
    return True


async def wake(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    account_id: str,
    task_id: str,
    message: str | None,
    overrides: Overrides,
    provider_api_key: str | None,
) -> Task:
    """Wake a hibernating task, with a message or without. `overrides` hold from now on.

    Raises:
        NotFound: no such task. Conflict: it does not hibernate, for instance because it was woken before.
        ValidationError: names the field.
    """
    if message is not None:
        conversations.check_content(message, "message")
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, task_id, account_id)
        if task is None:
            raise NotFound(f"Task {task_id} does not exist.")
        if task.status is not Status.HIBERNATING:
            raise Conflict(f"Task {task_id} is {task.status} and cannot be woken: it does not hibernate.")
        if overrides != Overrides() or provider_api_key is not None:
            await tasks.change_execution(connection, settings, vault, task, overrides, provider_api_key)
        kind: WakeKind = "external_wake" if message is None else "message"
        await wake_locked(connection, task_id, kind, message, task.last_turn_number)
        woken = await tasks.get(connection, account_id, task_id)
    crash.reach("woken")
    return woken


async def wake_locked(
    connection: Connection, task_id: str, kind: WakeKind, message: str | None = None, turn_number: int = 0
) -> None:
    """Wake a task in the caller's transaction, which has locked its row and checked that it hibernates. `turn_number`:
    the turn that the message belongs to."""
    drafts = [("task.woken", {"status": "pending", "kind": kind})]
    if message is not None:
        await conversations.add_steering(connection, task_id, message, turn_number)
    await store.set_wake_kind(connection, task_id, kind)
    await events.append(connection, task_id, drafts)
    await tasks.requeue(connection, task_id)
    crash.reach("wake")


async def due(pool: Pool) -> list[str]:
    """Ids of hibernating tasks whose deadline has passed."""
    return [row["id"] for row in await pool.fetch(_DUE)]


async def wake_due(pool: Pool, task_id: str) -> bool:
    """Wake a hibernating task whose deadline has passed. False: it does not hibernate, or has a later deadline."""
    async with db.transaction(pool) as connection:
        if not await connection.fetchval(_IS_DUE, task_id):  # it may have been woken, and hibernate again
            return False
        await wake_locked(connection, task_id, "deadline")
        return True
