"""The turns of a conversation as an attempt runs them: how each begins and ends.

Each function is one transaction, fenced by the claim: if the claim is lost it returns None or False and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.conversations import store
from agentcontainer.domain.conversations.model import LockedTask, OpeningMessage, Turn
from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import budgets, event_data, events
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks import store as task_store
from agentcontainer.domain.tasks.event_data import FileShared, TurnLabel, draft
from agentcontainer.domain.tasks.model import Claim, Output
from agentcontainer.domain.usage import store as usage
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

Next = Literal["turn", "idle", "restart"]  # what an attempt does after a turn


@dataclass(frozen=True)
class Failure:
    """Why a turn ended without a reply."""

    error_code: str
    error: str
    budget: Budget | None = None
    """The budget that is used up, if the conversation waits until it is raised."""


async def begin(pool: Pool, claim: Claim, event_id: str | None = None) -> Turn | None:
    """Begin the interrupted turn again, or the next one. Idempotent for one `event_id`, that of its `turn.started`."""
    event_id = event_id or new_id("evt")
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if task is None:
            return None
        number, attempt_number = task.turn_number, task.turn_attempt + 1
        if task.turn_status not in ("queued", "running"):
            number, attempt_number = number + 1, 1
        message = await store.of_turn(connection, claim.task_id, number)
        assert message is not None, "a conversation runs only with a message to work on"
        if task.turn_status == "running" and await events.last_if_written(
            connection, claim.task_id, event_id
        ):
            return _turn(number, message, task, task.turn_attempt)  # begun by the call whose reply was lost
        is_new, new = message.status == "queued", message.new_execution
        if new is not None and is_new:
            await task_store.set_execution(
                connection, claim.task_id, new.overrides, new.execution, new.provider_key_ciphertext
            )
        await store.set_delivered(connection, message.id, attempt_number)
        await store.set_turn(connection, claim.task_id, number, "running", attempt_number)
        await store.set_error(connection, claim.task_id, None, None)
        turn = _turn(number, message, task, attempt_number)
        started = draft(event_data.TurnStarted(turn.message_id), turn.label)
        delivered = [draft(event_data.MessageDelivered(turn.message_id), turn.label)] if is_new else []
        ids = [*(new_id("evt") for _ in delivered), event_id]
        await events.append(connection, claim.task_id, [*delivered, started], claim, ids)
        return turn


def _turn(number: int, message: OpeningMessage, task: LockedTask, attempt_number: int) -> Turn:
    return Turn(
        message.id, number, attempt_number, message.content, message.is_handoff,
        task.used_micro_seconds, task.input_tokens, task.output_tokens, task.cached_input_tokens, message.traceparent,
    )  # fmt: skip


async def share(pool: Pool, claim: Claim, turn: Turn, outputs: Sequence[Output]) -> bool:
    """Make files of a turn downloadable. Idempotent."""
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if task is None:
            return False
        if await tasks.add_outputs(connection, task.account_id, claim.task_id, outputs):
            drafts = [draft(FileShared.of(output), turn.label) for output in outputs]
            await events.append(connection, claim.task_id, drafts, claim)
        return True


async def end(
    pool: Pool,
    settings: Settings,
    claim: Claim,
    turn: Turn,
    *,
    checkpoint_id: str | None,
    reply: str,
    file_ids: Sequence[str],
    failure: Failure | None = None,
    may_go_on: bool = True,
) -> Next | None:
    """End the turn: with the reply, or with a failure. The next container starts from the checkpoint (None: from the
    one before).

    Returns what comes next: another `turn` in this container (only if it `may_go_on`), `idle` in it until a message
    comes, or a `restart` in another. Idempotent, so it may be repeated when a commit's outcome is not known.
    """
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if task is None or task.turn_status != "running":
            return await _next_of_ended(connection, claim, turn)
        await task_store.count_time(connection, claim)
        await store.set_checkpoint(connection, claim.task_id, checkpoint_id)
        if failure is None:
            await _add_reply(connection, settings, claim, turn, task, reply, file_ids)
        else:
            failed = draft(event_data.TurnFailed(failure.error_code, failure.error), turn.label)
            await events.append(connection, claim.task_id, [failed], claim)
            await store.set_error(connection, claim.task_id, failure.error, failure.error_code)
        status = "failed" if failure else "completed"
        await store.set_turn(connection, claim.task_id, turn.number, status, turn.attempt_number)
        if failure is not None and failure.budget is not None and failure.budget == task.execution.budget:
            await budgets.reach(connection, claim)
            following = await _next_of_paused(connection, claim, turn, failure.budget)
        else:
            following = await _choose_next(connection, claim, turn, may_go_on)
        await usage.count(connection, claim.task_id, settings.container_micro_usd_per_minute)
        return following


async def _next_of_ended(connection: Connection, claim: Claim, turn: Turn) -> Next | None:
    """What `end` returned when this attempt ended the turn. None: it did not end it, so the claim is lost."""
    task = await store.lock(connection, claim.task_id)
    if task is None or task.attempt != claim.attempt:
        return None
    if task.turn_status not in ("completed", "failed", "queued"):
        return None
    if task.turn_number != turn.number + (task.turn_status == "queued"):
        return None
    following: dict[str, Next] = {"running": "turn", "awaiting_input": "idle", "pending": "restart"}
    return following.get(task.status)


async def _add_reply(
    connection: Connection, settings: Settings, claim: Claim, turn: Turn, task: LockedTask, reply: str,
    file_ids: Sequence[str],
) -> None:  # fmt: skip
    rate = settings.container_micro_usd_per_minute
    new = store.new_message(
        claim.task_id, "assistant", reply, turn.number, turn.attempt_number,
        input_tokens=task.input_tokens - turn.used_input_tokens,
        output_tokens=task.output_tokens - turn.used_output_tokens,
        cached_input_tokens=task.cached_input_tokens - turn.used_cached_input_tokens,
        cost_micro_usd=container_cost_micro_usd(task.used_micro_seconds - turn.used_micro_seconds, rate),
    )  # fmt: skip
    message = await store.insert(connection, new, claim=claim, file_ids=file_ids)
    completed = draft(event_data.TurnCompleted(message.id), turn.label)
    await events.append(connection, claim.task_id, [completed], claim)


async def _next_of_paused(connection: Connection, claim: Claim, turn: Turn, budget: Budget) -> Next:
    """Wait until this budget is raised, even if further messages are queued, unless the next one raises it."""
    following = await store.of_turn(connection, claim.task_id, turn.number + 1)
    if (
        following is not None
        and (new := following.new_execution) is not None
        and new.execution.budget != budget
    ):
        return await _choose_next(connection, claim, turn, may_go_on=False)
    await tasks.await_input(connection, claim)
    return "idle"


async def _choose_next(connection: Connection, claim: Claim, turn: Turn, may_go_on: bool) -> Next:
    following = await store.of_turn(connection, claim.task_id, turn.number + 1)
    if following is None:
        await tasks.await_input(connection, claim)
        return "idle"
    if following.new_execution is None and may_go_on:
        return "turn"
    await store.set_turn(connection, claim.task_id, turn.number + 1, "queued", 0)
    await tasks.requeue(connection, claim.task_id)
    return "restart"


async def restart(pool: Pool, claim: Claim, number: int) -> None:
    """Leave this turn to another container, because it cannot run in this one."""
    async with db.transaction(pool) as connection:
        if await store.lock(connection, claim.task_id, attempt=claim.attempt) is not None:
            await store.set_turn(connection, claim.task_id, number, "queued", 0)
            await tasks.requeue(connection, claim.task_id)


async def deliver_steering(pool: Pool, claim: Claim, message_id: str) -> bool:
    """Record that the agent, which works alone, has received the message."""
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if task is None:
            return False
        if not await store.is_queued(connection, message_id):
            return True  # delivered by a call whose reply was lost
        label = TurnLabel(task.turn_number, task.turn_attempt) if task.mode == "conversation" else None
        await store.set_delivered(connection, message_id, label.attempt_number if label else 1)
        delivered = draft(event_data.MessageDelivered(message_id), label)
        await events.append(connection, claim.task_id, [delivered], claim)
        return True
