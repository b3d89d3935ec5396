"""Begins a hibernation, and wakes a task: for its client, a link, its deadline, or a message for its agent.

The row is locked, so that of several wakes at once exactly one succeeds.
"""

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import restrictions
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.hibernation import store
from agentcontainer.domain.hibernation.model import WakeKind
from agentcontainer.domain.tasks import budgets, events
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks import store as task_store
from agentcontainer.domain.tasks.event_data import TaskWoken, draft
from agentcontainer.domain.tasks.model import Claim, Hibernation, Task
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.settings import Settings


async def begin(connection: Connection, settings: Settings, claim: Claim, hibernation: Hibernation) -> bool:
    """End the attempt and hibernate the task. A message that the agent has not received wakes it at once, unless
    it hibernates because of its provider.

    False, and nothing written: the claim is lost.
    """
    is_raised = False
    if hibernation.reason == "budget":
        task = await task_store.lock(connection, claim.task_id)
        is_raised = task is not None and task.execution.budget != hibernation.budget
        if not is_raised:
            await budgets.reach(connection, claim)
    if not await tasks.hibernate(connection, settings, claim, hibernation):
        return False
    if is_raised:  # while the workspace was saved
        await wake_locked(connection, claim.task_id, "budget")
    if hibernation.reason == "agent" and await conversations.has_queued(connection, claim.task_id):
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
    caller: Principal | None = None,
) -> Task:
    """Wake a hibernating task, with a message or (None) by an external wake. `overrides` apply from now on.

    Raises:
        NotFound: no such task.
        Conflict: it does not hibernate, or was woken already.
        ValidationError: the message or an override is not valid; names the field.
        Forbidden: an override gives the task wider access than the key of the request may give.
    """
    if message is not None:
        conversations.check_content(message, "message")
    async with db.transaction(pool) as connection:
        task = await task_store.lock(connection, task_id, account_id)
        if task is None:
            raise NotFound(f"Task {task_id} does not exist.")
        if task.status is not Status.HIBERNATING:
            raise Conflict(f"Task {task_id} is {task.status} and cannot be woken: it does not hibernate.")
        if task.hibernation_reason == "budget":
            raise Conflict(
                f"The budget of task {task_id} is used up; raise it with PATCH /api/v1/tasks/{task_id}."
            )
        if overrides != Overrides() or provider_api_key is not None:
            await restrictions.check_priority(connection, account_id, overrides)
            await tasks.change_execution(
                connection, settings, vault, task, overrides, provider_api_key, caller
            )
        kind: WakeKind = "external_wake" if message is None else "message"
        await wake_locked(connection, task_id, kind, message, task.last_turn_number)
        woken = await tasks.get(connection, account_id, task_id)
    crash.reach("woken")
    return woken


async def wake_locked(
    connection: Connection, task_id: str, kind: WakeKind, message: str | None = None, turn_number: int = 0
) -> None:
    """Wake a hibernating task. The caller has locked its row and checked its status. `turn_number`: the message's."""
    drafts = [draft(TaskWoken(Status.PENDING, kind))]
    if message is not None:
        await conversations.add_steering(connection, task_id, message, turn_number)
    await store.set_wake_kind(connection, task_id, kind)
    await events.append(connection, task_id, drafts)
    await tasks.requeue(connection, task_id)
    crash.reach("wake")


async def wake_due(pool: Pool, settings: Settings, task_id: str) -> bool:
    """Wake a task whose deadline has passed, or fail it if its budget was not raised until then. False: it does not
    hibernate, or not past its deadline."""
    async with db.transaction(pool) as connection:
        reason = await store.lock_if_due(connection, task_id)
        if reason is None:  # it may have hibernated again since it was found
            return False
        if reason == "budget":
            message = "The budget of the task (overrides.budget) is used up, and was not raised in time."
            return await tasks.end(connection, settings, task_id, EndReason.BUDGET_EXCEEDED, message=message)
        await wake_locked(connection, task_id, "provider" if reason == "provider" else "deadline")
        return True
