"""The actions on a task that write several rows or check a rule: cancel, requeue, hibernate, end and others.

Each function is one transaction, or a part of its caller's. An action that is a single statement is in store.py;
dispatch is in creation.py.
"""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import restrictions
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.execution.service import resolve_for_account
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import event_data, events, overdue, queue, store
from agentcontainer.domain.tasks.event_data import OutputFile, draft
from agentcontainer.domain.tasks.model import (
    Claim,
    ClosedContainer,
    Hibernation,
    Output,
    Task,
    TaskEnd,
)
from agentcontainer.domain.tasks.state import MAX_TRIES, MEANING, TERMINAL, EndReason, Meaning, Status
from agentcontainer.domain.usage import store as usage
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics

CANCEL_CHANNEL = "agentcontainer_cancels"  # NOTIFY payload: the task's id, a space, the last attempt to stop
RETRY_DELAY = timedelta(
    seconds=2
)  # exponential backoff, so that a transient failure does not use up MAX_TRIES


async def get(pool: Connection | Pool, account_id: str, task_id: str) -> Task:
    """The task.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    return await _existing(pool, task_id, account_id)


async def cancel(pool: Pool, settings: Settings, account_id: str, task_id: str) -> Task:
    """Cancel a task that has not ended; its runner stops the container within seconds. A cancelled task is not changed.

    Raises:
        NotFound: no such task.
        Conflict: it has ended otherwise.
    """
    async with db.transaction(pool) as connection:
        task = await _existing(connection, task_id, account_id)
        if task.status not in TERMINAL:
            await end(connection, settings, task_id, EndReason.CANCELLED)
            await stop_container(connection, task_id)
            task = await _existing(connection, task_id)
    if task.status is not Status.CANCELLED:
        raise Conflict(f"Task {task_id} is {task.status} and cannot be cancelled.")
    return task


async def stop_container(connection: Connection, task_id: str) -> None:
    """Notify the runner that the task's claim has ended, so that it need not wait for its next heartbeat.

    The notification names the attempt, because it may arrive when the task runs in its next container already.
    """
    await store.notify_of_end(connection, CANCEL_CHANNEL, task_id)


async def requeue(connection: Connection, task_id: str) -> None:
    """Make a task pending, so that it gets a new container. The caller has locked the row."""
    moved = await store.move(connection, task_id, Status.PENDING)
    assert moved, "the caller has locked the row and checked the status"
    await store.close_container(connection, task_id)
    await stop_container(connection, task_id)


async def hibernate(
    connection: Connection, settings: Settings, claim: Claim, hibernation: Hibernation
) -> bool:
    """Stop the attempt until something wakes the task. False, and nothing written: the claim is lost."""
    if not await store.move(
        connection, claim.task_id, Status.HIBERNATING, attempt=claim.attempt, only_from=Status.RUNNING
    ):
        return False
    await store.close_container(connection, claim.task_id)
    await store.set_hibernation(connection, claim.task_id, hibernation)
    has_link = (await _existing(connection, claim.task_id)).wake_link_id is not None
    data = event_data.TaskHibernated(
        Status.HIBERNATING, hibernation.message, hibernation.until, hibernation.reason, has_link
    )
    await events.append(connection, claim.task_id, [draft(data)])
    await usage.count(connection, claim.task_id, settings.container_micro_usd_per_minute)
    return True


async def save(connection: Connection, claim: Claim, checkpoint: Checkpoint, paused_seconds: float) -> bool:
    """Make this stored checkpoint the one that the next container starts from. False: the claim is lost. Idempotent.

    The container time until now is counted with it, since a later loss of the container does not undo this work.
    """
    is_first_call = await store.set_checkpoint(connection, claim, checkpoint.id)
    if is_first_call:
        await store.count_time(connection, claim)
        data = event_data.TaskCheckpointed(checkpoint.size_bytes, paused_ms=round(paused_seconds * 1000))
        await events.append(connection, claim.task_id, [draft(data)], claim)
    return is_first_call is not None


async def change_execution(
    connection: Connection,
    settings: Settings,
    vault: Vault,
    task: Task,
    overrides: Overrides,
    provider_key: str | None,
    sender: Principal | None = None,
) -> None:
    """Set further overrides, which `sender` asks for. The caller has locked the task's row.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    version = await agents.get_version(connection, task.account_id, task.agent_id, task.agent_version_id)
    restrictions.check_overrides(sender, overrides, version.defaults)
    merged = task.overrides.updated(overrides)
    execution, price = await resolve_for_account(
        connection, task.account_id, version.defaults, merged, settings, has_key=provider_key is not None
    )
    least_budget.check_change(overrides, execution, settings, task, price)
    sealed = vault.seal(provider_key, task.id) if provider_key else None
    await store.set_execution(connection, task.id, merged, execution, sealed)


async def await_input(connection: Connection, claim: Claim) -> None:
    """Let a conversation wait for its user in its container. The caller has locked the row and checked the claim."""
    moved = await store.move(connection, claim.task_id, Status.AWAITING_INPUT, only_from=Status.RUNNING)
    assert moved, "the caller has locked the row and checked the claim"
    expires_at = await store.begin_wait(connection, claim.task_id)
    data = event_data.TaskAwaitingInput(Status.AWAITING_INPUT, expires_at)
    await events.append(connection, claim.task_id, [draft(data)])


async def resume(connection: Connection, task_id: str) -> bool:
    """Let a waiting conversation go on in its container. False: it has none, so the caller must `requeue` it."""
    if not await store.end_wait(connection, task_id):
        return False
    return await store.move(connection, task_id, Status.RUNNING, only_from=Status.AWAITING_INPUT)


async def add_outputs(
    connection: Connection, account_id: str, task_id: str, outputs: Sequence[Output]
) -> bool:
    """Insert the files that the agent of a running task shares. False: they were inserted before."""
    if await store.is_output(connection, outputs[0].id):
        return False
    await store.insert_outputs(connection, account_id, task_id, outputs)
    return True


async def add_partial_outputs(pool: Pool, claim: Claim, outputs: Sequence[Output]) -> bool:
    """Insert the partial outputs of a task that ended without delivering outputs. False: it did not, or has them
    already."""
    async with db.transaction(pool) as connection:
        account_id = await overdue.take_partial_outputs(connection, claim.task_id, claim.attempt)
        if account_id is not None:
            await store.insert_outputs(connection, account_id, claim.task_id, outputs, is_partial=True)
        return account_id is not None


async def wants_partial_outputs(pool: Pool, claim: Claim) -> bool:
    """Whether the task ended in this attempt without delivering outputs."""
    task = await store.get(pool, claim.task_id)
    statuses = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
    return task is not None and task.status in statuses and task.attempt == claim.attempt


async def lose(
    pool: Pool, settings: Settings, claim: Claim, message: str, reason: EndReason = EndReason.RUNNER_LOST
) -> bool:
    """End an attempt that its runner cannot end itself. False: the claim is not valid any more."""
    async with db.transaction(pool) as connection:
        # Between turns only the container is lost: the next message starts another one from the checkpoint.
        if await store.evict(connection, claim, is_charged=False):
            return True
        return await end(connection, settings, claim.task_id, reason, attempt=claim.attempt, message=message)


async def requeue_by_operator(pool: Pool, settings: Settings, task_id: str) -> None:
    """Take a running task from its runner, or end the delay of a pending one, so that a runner claims it now.

    Raises:
        NotFound: no such task.
        Conflict: it has ended, hibernates, or waits for its user.
    """
    task = await _existing(pool, task_id)
    if task.status is Status.PENDING:
        await queue.end_delay(pool, task_id, is_due_only=False)
    elif task.status is Status.RUNNING:
        claim, message = Claim(task_id, task.attempt), "The operator requeued the task."
        await lose(pool, settings, claim, message, EndReason.HOST_FAULT)
        async with db.transaction(pool) as connection:
            await stop_container(connection, task_id)
    else:
        raise Conflict(f"Task {task_id} is {task.status}: only running and pending tasks can be requeued.")


async def expire(pool: Pool, settings: Settings, task_id: str) -> bool:
    """End a conversation that has expired. False: it does not wait any more, or waits until later."""
    async with db.transaction(pool) as connection:
        if not await overdue.lock_if_expired(
            connection, task_id
        ):  # a message may have come since it was found
            return False
        await end(connection, settings, task_id, EndReason.EXPIRED)
        await stop_container(connection, task_id)
        return True


async def start_container(pool: Pool, claim: Claim) -> bool:
    """Record that the container has started: its time counts from now. False: the claim is lost. Idempotent."""
    async with db.transaction(pool) as connection:
        started = await store.container_started(connection, claim)
        if started is None:
            return False
        is_first_call, runner_id = started
        if is_first_call:
            data = event_data.TaskStarted(Status.RUNNING, claim.attempt, runner_id)
            await events.append(connection, claim.task_id, [draft(data)], claim)
        return True


async def set_title(pool: Pool, claim: Claim, title: str) -> None:
    """Set a title that a model wrote. Does nothing when the claim is lost."""
    async with db.transaction(pool) as connection:
        if await store.set_title(connection, claim, title):
            await events.append(connection, claim.task_id, [draft(event_data.TaskTitled(title))], claim)


async def end(
    connection: Connection,
    settings: Settings,
    task_id: str,
    reason: EndReason,
    *,
    attempt: int | None = None,
    message: str | None = None,
    outputs: Sequence[Output] = (),
) -> bool:
    """End an attempt, or a task that has none: write its status, container time, outputs, money and event.

    `message` is the finish message, or why the task failed. False, and nothing written: `attempt` is not the task's
    running attempt any more, or the task has ended.
    """
    meaning = MEANING[reason]
    # The attempt number alone does not suffice: a requeued task keeps it until the next claim.
    only_from = Status.RUNNING if attempt is not None or meaning.status is Status.PENDING else None
    if not await store.move(connection, task_id, meaning.status, attempt=attempt, only_from=only_from):
        return False
    closed = await store.close_container(
        connection, task_id, is_charged=meaning.is_charged, uses_a_try=meaning.uses_a_try
    )
    rate = settings.container_micro_usd_per_minute
    if meaning.status is Status.PENDING:
        db.on_commit(metrics.ATTEMPTS_LOST.labels(reason.value).inc)
        has_failed = await _requeue_or_fail(connection, settings, task_id, closed, meaning, message)
        await usage.count(connection, task_id, rate, Status.FAILED if has_failed else None)
        return True
    await store.insert_outputs(connection, closed.account_id, task_id, outputs)
    crash.reach("settle")
    ending = _end_of(reason, message)
    await _finish(connection, settings, task_id, closed, ending, is_charged=not meaning.is_platforms_fault)
    if meaning.status is Status.FINISHED:
        files_data = tuple(OutputFile.of(output) for output in outputs)
        data = event_data.TaskFinished(meaning.status, ending.completion, message, files_data)
    else:
        data = event_data.ENDED[meaning.status](meaning.status, meaning.error_code, message)
    await events.append(connection, task_id, [draft(data)])
    await usage.count(connection, task_id, rate, meaning.status)
    return True


def _end_of(reason: EndReason, message: str | None) -> TaskEnd:
    meaning = MEANING[reason]
    if meaning.status is Status.FINISHED:
        is_of_agent = reason in (EndReason.COMPLETE, EndReason.INCOMPLETE)
        return TaskEnd(completion=reason.value if is_of_agent else None, result=message)
    if meaning.status is Status.FAILED:
        return TaskEnd(error=message, error_code=meaning.error_code)
    return TaskEnd()


async def _requeue_or_fail(
    connection: Connection,
    settings: Settings,
    task_id: str,
    closed: ClosedContainer,
    meaning: Meaning,
    message: str | None,
) -> bool:
    """Whether the task has failed: it lost `MAX_TRIES` containers."""
    if closed.tries < MAX_TRIES:
        requeued = event_data.TaskRequeued(Status.PENDING, message)
        await events.append(connection, task_id, [draft(requeued)])
        await queue.delay(connection, task_id, RETRY_DELAY * 2**closed.tries)
        return False
    error = f"The platform lost this task's container {MAX_TRIES} times; it was not charged. {message or ''}".strip()
    await store.move(connection, task_id, Status.FAILED)
    ending = TaskEnd(error=error, error_code=meaning.error_code)
    await _finish(connection, settings, task_id, closed, ending, is_charged=False)
    failed = event_data.TaskFailed(Status.FAILED, meaning.error_code, error)
    await events.append(connection, task_id, [draft(failed)])
    return True


async def _finish(
    connection: Connection,
    settings: Settings,
    task_id: str,
    closed: ClosedContainer,
    ending: TaskEnd,
    *,
    is_charged: bool,
) -> None:
    """Record the end of a task, delete its keys, release its hold and charge it. Its status is final already."""
    rate = settings.container_micro_usd_per_minute
    cost = container_cost_micro_usd(closed.container_micro_seconds, rate) if is_charged else 0
    await store.set_ending(connection, task_id, ending, cost)
    await ledger.settle(connection, closed.account_id, task_id, closed.hold_micro_usd, cost)


async def _existing(connection: Connection | Pool, task_id: str, account_id: str | None = None) -> Task:
    task = await store.get(connection, task_id, account_id)
    if task is None:
        raise NotFound(f"Task {task_id} does not exist.")
    return task
