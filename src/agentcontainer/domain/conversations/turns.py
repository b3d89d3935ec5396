"""Turns as an attempt lives through them: begun, ended, and the container put away between them.

Each function is one transaction under the attempt's fence: it returns None, or False, and writes nothing, when the
claim is lost.
"""

from collections.abc import Sequence
from typing import Any, Literal

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.conversations import store
from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.model import Claim, Output
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

Next = Literal["turn", "idle", "restart"]


async def begin(pool: Pool, claim: Claim, event_id: str | None = None) -> Turn | None:
    """The turn that is due: the one that was interrupted, or the next. `event_id`, of its `turn.started`, makes this
    idempotent."""
    event_id = event_id or new_id("evt")
    async with db.transaction(pool) as connection:
        row = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if row is None:
            return None
        number, attempt_number = row["turn_number"], row["turn_attempt"] + 1
        if row["turn_status"] not in ("queued", "running"):
            number, attempt_number = number + 1, 1
        message = await store.of_turn(connection, claim.task_id, number)
        assert message is not None, "a conversation runs only with a message to work on"
        if row["turn_status"] == "running" and await events.last_if_written(
            connection, claim.task_id, event_id
        ):
            return _turn(message, row, row["turn_attempt"])  # begun by the call whose reply was lost
        if message["execution"] is not None and message["status"] == "queued":
            await tasks.set_execution(
                connection, claim.task_id, message["overrides"], message["execution"],
                message["provider_key_ciphertext"],
            )  # fmt: skip
        await store.take(connection, message["id"], attempt_number)
        await store.set_turn(connection, claim.task_id, number, "running", attempt_number)
        await store.set_error(connection, claim.task_id, None, None)
        turn = _turn(message, row, attempt_number)
        data = turn.event | {"messageId": turn.message_id}
        delivered = [("message.delivered", data)] if message["status"] == "queued" else []
        ids = [*(new_id("evt") for _ in delivered), event_id]
        await events.append(connection, claim.task_id, [*delivered, ("turn.started", data)], claim, ids)
        return turn


def _turn(message: Any, row: Any, attempt_number: int) -> Turn:
    return Turn(
        message["id"], message["turn_number"], attempt_number, message["content"], message["is_handoff"],
        row["used_micro_seconds"], row["input_tokens"], row["output_tokens"],
    )  # fmt: skip


async def share(pool: Pool, claim: Claim, turn: Turn, outputs: Sequence[Output]) -> bool:
    """Files of a turn, downloadable from now on. Idempotent."""
    async with db.transaction(pool) as connection:
        row = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if row is None:
            return False
        if await tasks.add_outputs(connection, row["account_id"], claim.task_id, outputs):
            drafts = [("file.shared", tasks.file_event(output) | turn.event) for output in outputs]
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
    failure: tuple[str, str] | None = None,
    may_go_on: bool = True,
) -> Next | None:
    """The turn is over, its state is in the checkpoint. With `failure` (error code, error) there is no reply; without
    a checkpoint the next container starts from the one before.

    What comes next: another `turn` in this container (if it `may_go_on`), `idle` in it, or a `restart` in another.
    May be repeated when it is not known whether it was committed.
    """
    async with db.transaction(pool) as connection:
        row = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if row is None or row["turn_status"] != "running":
            return await _ended(connection, claim, turn)
        await tasks.count_time(connection, claim)
        await store.set_checkpoint(connection, claim.task_id, checkpoint_id)
        if failure is None:
            await _answer(connection, settings, claim, turn, row, reply, file_ids)
        else:
            data = turn.event | {"errorCode": failure[0], "error": failure[1]}
            await events.append(connection, claim.task_id, [("turn.failed", data)], claim)
            await store.set_error(connection, claim.task_id, failure[1], failure[0])
        await store.set_turn(
            connection, claim.task_id, turn.number, "failed" if failure else "completed", turn.attempt_number
        )
        return await _go_on(connection, claim, turn, may_go_on)


async def _ended(connection: Connection, claim: Claim, turn: Turn) -> Next | None:
    """What came next of a turn that this attempt has ended before; None: it has not, the claim is lost."""
    row = await store.lock(connection, claim.task_id)
    if (
        row is None
        or row["attempt"] != claim.attempt
        or row["turn_status"] not in ("completed", "failed", "queued")
    ):
        return None
    if row["turn_number"] != turn.number + (row["turn_status"] == "queued"):
        return None
    following: dict[str, Next] = {"running": "turn", "awaiting_input": "idle", "pending": "restart"}
    return following.get(row["status"])


async def _answer(
    connection: Connection, settings: Settings, claim: Claim, turn: Turn, row: Any, reply: str,
    file_ids: Sequence[str],
) -> None:  # fmt: skip
    rate = settings.container_micro_usd_per_minute
    message = store.new_message(
        claim.task_id, "assistant", reply, turn.number, turn.attempt_number,
        input_tokens=row["input_tokens"] - turn.used_input_tokens,
        output_tokens=row["output_tokens"] - turn.used_output_tokens,
        cost_micro_usd=container_cost_micro_usd(row["used_micro_seconds"] - turn.used_micro_seconds, rate),
    )  # fmt: skip
    made = await store.insert(connection, message, claim=claim, file_ids=file_ids)
    data = turn.event | {"messageId": made.id}
    await events.append(connection, claim.task_id, [("turn.completed", data)], claim)


async def _go_on(connection: Connection, claim: Claim, turn: Turn, may_go_on: bool) -> Next:
    following = await store.of_turn(connection, claim.task_id, turn.number + 1)
    if following is None:
        await tasks.rest(connection, claim)
        return "idle"
    if following["execution"] is None and may_go_on:
        return "turn"
    await store.set_turn(connection, claim.task_id, turn.number + 1, "queued", 0)
    await tasks.requeue(connection, claim.task_id)
    return "restart"


async def restart(pool: Pool, claim: Claim, number: int) -> None:
    """The turn that is due cannot run in this container: another begins it."""
    async with db.transaction(pool) as connection:
        if await store.lock(connection, claim.task_id, attempt=claim.attempt) is not None:
            await store.set_turn(connection, claim.task_id, number, "queued", 0)
            await tasks.requeue(connection, claim.task_id)


async def evict(pool: Pool, claim: Claim) -> bool:
    """The container is given up between turns; False when a message came first."""
    return await tasks.evict(pool, claim)


async def deliver_steering(pool: Pool, claim: Claim, message_id: str) -> bool:
    """The agent, which works alone, has got the message."""
    async with db.transaction(pool) as connection:
        row = await store.lock(connection, claim.task_id, attempt=claim.attempt)
        if row is None:
            return False
        if not await store.is_queued(connection, message_id):
            return True  # delivered by a call whose reply was lost
        data: dict[str, Any] = {"messageId": message_id}
        if row["mode"] == "conversation":
            data = {"turnNumber": row["turn_number"], "attemptNumber": row["turn_attempt"]} | data
        await store.take(connection, message_id, data.get("attemptNumber", 1))
        await events.append(connection, claim.task_id, [("message.delivered", data)], claim)
        return True


async def queued_steering(pool: Pool, task_id: str) -> list[tuple[str, str]]:
    """(id, content) of the messages that an agent which works alone has not got yet, in order."""
    return await store.queued_steering(pool, task_id)


async def requeue_steering(pool: Pool, claim: Claim) -> None:
    """The agent starts from nothing: it has got no message yet."""
    await store.requeue_steering(pool, claim)
