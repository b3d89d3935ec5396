"""What can be done to a task: one verb, one function, one transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.execution.service import laid_over, merge, session_ttl_seconds
from agentcontainer.domain.files import service as files
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import events, queue, repositories, store
from agentcontainer.domain.tasks.model import Checkpoint, Claim, Dispatch, Hibernation, Output, Task
from agentcontainer.domain.tasks.state import MAX_TRIES, MEANING, TERMINAL, EndReason, Meaning, Status
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.settings import Settings

CANCEL_CHANNEL = "agentcontainer_cancels"  # NOTIFY payload: the task's id, a space, its last attempt to stop
MAX_TITLE_CHARACTERS = 80
RETRY_DELAY = timedelta(seconds=2)  # doubled with each try: a moment's fault must not use them all


async def dispatch(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, agent_id: str, request: Dispatch
) -> Task:
    """Create a task: resolve the version, check the files, insert, log, enqueue, hold the money.

    Raises:
        NotFound: no such agent for this account.
        Conflict: the agent is archived.
        ValidationError: a version, a file or an override cannot be; names the field.
        InsufficientBalance: the balance is below the hold.
    """
    async with db.transaction(pool) as connection:
        task_id = await create(connection, settings, vault, account_id, agent_id, request, "autonomous")
        task = await _existing(connection, task_id)
        await hold(connection, settings, account_id, task_id)
        crash.reach("dispatch")
    crash.reach("dispatched")
    return task


async def create(
    connection: Connection,
    settings: Settings,
    vault: Vault,
    account_id: str,
    agent_id: str,
    request: Dispatch,
    mode: Literal["autonomous", "conversation"],
) -> str:
    """A new task, logged and enqueued; returns its id. `hold` must follow. Raises as `dispatch` does."""
    version = await agents.resolve_version(connection, account_id, agent_id, request.version_id)
    execution = merge(version.defaults, request.overrides, settings)
    await files.check_inputs(connection, account_id, request.input_file_ids)
    await files.check_inputs(connection, account_id, request.skills, "skills")
    is_private_allowed = settings.allow_private_repositories
    repositories.check(request.input_repositories, is_plain_token_allowed=is_private_allowed)
    task_id = await store.begin(connection, account_id)
    key = request.provider_api_key
    ttl = session_ttl_seconds(version.defaults, settings) if mode == "conversation" else None
    values = (
        account_id, agent_id, version.id, mode, request.title or title_of(request.instructions), request.instructions,
        request.metadata, request.overrides, execution, list(dict.fromkeys([*version.skills, *request.skills])),
        vault.seal(key, task_id) if key else None, settings.hold_micro_usd, request.title_source,
        repositories.sealed(request.input_repositories, vault, task_id), ttl,
    )  # fmt: skip
    await store.insert(connection, task_id, values, request.input_file_ids)
    data = {"status": "pending", "agentId": agent_id, "mode": mode}
    await events.append(connection, task_id, [("task.created", data)])
    await queue.enqueue(connection, task_id, 0, execution["runtimeRegion"])
    return task_id


async def hold(connection: Connection, settings: Settings, account_id: str, task_id: str) -> None:
    """Hold a new task's money: the last step of its transaction, since until the commit the account's other
    dispatches wait.

    Raises:
        InsufficientBalance: the balance is below the hold.
    """
    held = await ledger.hold(connection, account_id, settings.hold_micro_usd, task_id)
    if held != settings.hold_micro_usd:
        await store.set_hold(connection, task_id, held)


def title_of(instructions: str) -> str:
    """The first line of the instructions, cut to a title."""
    line = next((line.strip("# \t") for line in instructions.splitlines() if line.strip("# \t")), "Task")
    return line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"


async def get(pool: Connection | Pool, account_id: str, task_id: str) -> Task:
    """The task.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    return await _existing(pool, task_id, account_id)


async def cancel(pool: Pool, settings: Settings, account_id: str, task_id: str) -> Task:
    """Cancel a live task; its runner stops the container within seconds. Cancelling twice is fine.

    Raises:
        NotFound: no such task. Conflict: it has ended otherwise.
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
    """Tell the runner at once that the task's claim is no longer its own; its heartbeat would tell it too. The word may
    come when the task has its next container already, which it does not mean."""
    await store.notify_of_end(connection, CANCEL_CHANNEL, task_id)


async def requeue(connection: Connection, task_id: str) -> None:
    """A conversation with a message to work on needs a new container, at once."""
    row = await store.move(connection, task_id, Status.PENDING)
    assert row is not None
    await queue.enqueue(connection, task_id, row["attempt"], row["execution"]["runtimeRegion"])
    await stop_container(connection, task_id)


async def hibernate(connection: Connection, claim: Claim, hibernation: Hibernation) -> bool:
    """The attempt's container is given up until something wakes the task; False when the claim is lost."""
    row = await store.move(
        connection, claim.task_id, Status.HIBERNATING, attempt=claim.attempt, only_from=Status.RUNNING
    )
    if row is None:
        return False
    await store.sleep(
        connection, claim.task_id, hibernation.until, hibernation.message, hibernation.checkpoint_id
    )
    data = {
        "status": "hibernating", "message": hibernation.message,
        "hibernateUntilAt": events.iso(hibernation.until),
    }  # fmt: skip
    await events.append(connection, claim.task_id, [("task.hibernated", data)])
    return True


async def save(connection: Connection, claim: Claim, checkpoint: Checkpoint, paused_seconds: float) -> bool:
    """From now on a lost container costs no more than what comes after this checkpoint; False: the claim is lost.
    Idempotent."""
    is_first_call = await store.adopt(connection, claim, checkpoint.id)
    if is_first_call:
        await store.count_time(connection, claim)
        data = {"sizeBytes": checkpoint.size_bytes, "pausedMs": round(paused_seconds * 1000)}
        await events.append(connection, claim.task_id, [("task.checkpointed", data)], claim)
    return is_first_call is not None


async def change_execution(
    connection: Connection,
    settings: Settings,
    vault: Vault,
    task: Task,
    overrides: dict[str, Any],
    key: str | None,
) -> None:
    """Further overrides, on top of those the task has; the caller holds its row.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    version = await agents.get_version(connection, task.account_id, task.agent_id, task.agent_version_id)
    merged = laid_over(task.overrides, overrides)
    execution = merge(version.defaults, merged, settings)
    sealed = vault.seal(key, task.id) if key else None
    await set_execution(connection, task.id, merged, execution, sealed)


async def set_execution(
    connection: Connection,
    task_id: str,
    overrides: dict[str, Any],
    execution: dict[str, Any],
    key: bytes | None,
) -> None:
    """What a task runs with from now on; `key` None: with the key it has, if that is for the same provider."""
    await store.set_execution(connection, task_id, overrides, execution, key)


async def resume(connection: Connection, task_id: str) -> bool:
    """A conversation goes on in the container that is still up; False when there is none."""
    return await store.resume(connection, task_id)


async def add_partial_outputs(pool: Pool, claim: Claim, outputs: Sequence[Output]) -> bool:
    """Partial outputs of a task that ended without handing them over; False when it did not, or has got them."""
    async with db.transaction(pool) as connection:
        account_id = await store.take_partial_outputs(connection, claim.task_id, claim.attempt)
        if account_id is not None:
            await store.insert_outputs(connection, account_id, claim.task_id, outputs, is_partial=True)
        return account_id is not None


async def wants_partial_outputs(pool: Pool, claim: Claim) -> bool:
    """Whether the task ended in this attempt without handing its files over."""
    task = await store.get(pool, claim.task_id)
    endings = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
    return task is not None and task.status in endings and task.attempt == claim.attempt


async def rest(connection: Connection, claim: Claim) -> None:
    """A conversation waits for its user; its container stays up for now."""
    expires_at = await store.rest(connection, claim)
    assert expires_at is not None, "the row is locked, and the claim was checked"
    data = {"status": "awaiting_input", "expiresAt": events.iso(expires_at)}
    await events.append(connection, claim.task_id, [("task.awaiting_input", data)])


async def evict(pool: Pool, claim: Claim) -> bool:
    """The container of a waiting conversation is given up, its time charged; False when it does not wait."""
    return await store.evict(pool, claim)


async def count_time(connection: Connection, claim: Claim) -> None:
    """Count the container time until now for good."""
    await store.count_time(connection, claim)


async def add_outputs(
    connection: Connection, account_id: str, task_id: str, outputs: Sequence[Output]
) -> bool:
    """Output files of a task that goes on; False when they have been added before."""
    if await store.is_output(connection, outputs[0].id):
        return False
    await store.insert_outputs(connection, account_id, task_id, outputs)
    return True


async def lose(pool: Pool, settings: Settings, claim: Claim, message: str) -> bool:
    """The container of this claim is gone without having said so; False when it is not the task's any more."""
    async with db.transaction(pool) as connection:
        # Between turns nothing is lost with it: the next message starts from the checkpoint.
        if await store.evict(connection, claim, is_charged=False):
            return True
        return await end(
            connection, settings, claim.task_id, EndReason.RUNNER_LOST, attempt=claim.attempt, message=message
        )


async def expire(pool: Pool, settings: Settings, task_id: str) -> bool:
    """A conversation that waited too long is over; False when it no longer waits."""
    async with db.transaction(pool) as connection:
        if not await store.is_expired(connection, task_id):  # it may have been answered since it was found
            return False
        await end(connection, settings, task_id, EndReason.EXPIRED)
        await stop_container(connection, task_id)
        return True


async def start_container(pool: Pool, claim: Claim) -> bool:
    """The container is up: bill from now and log it. False: the claim is lost. May be repeated: idempotent."""
    async with db.transaction(pool) as connection:
        is_first_call = await store.container_started(connection, claim)
        if is_first_call:
            data = {"status": "running", "attempt": claim.attempt}
            await events.append(connection, claim.task_id, [("task.started", data)], claim)
        return is_first_call is not None


async def set_title(pool: Pool, claim: Claim, title: str) -> None:
    """A model has written the title. Nothing is written when the claim is lost: a title is never worth a failure."""
    async with db.transaction(pool) as connection:
        if await store.set_title(connection, claim, title):
            await events.append(connection, claim.task_id, [("task.titled", {"title": title})], claim)


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
    """However an attempt ends, it ends here: status, container time, outputs, money and event in one transaction.

    `message` is the finish message, or the sentence why it failed. False, and nothing written, when the task
    has moved on (`attempt` no longer holds the claim, or it is already final).
    """
    meaning = MEANING[reason]
    is_controlled = meaning.status is Status.FINISHED
    # An attempt ends what runs: requeued, a task has its number until the next claim.
    only_from = Status.RUNNING if attempt is not None or meaning.status is Status.PENDING else None
    completion = reason.value if reason in (EndReason.COMPLETE, EndReason.INCOMPLETE) else None
    row = await store.move(
        connection, task_id, meaning.status, attempt=attempt, is_charged=meaning.is_charged,
        uses_a_try=meaning.uses_a_try, completion=completion, result=message if is_controlled else None,
        only_from=only_from, **_failure(meaning, message),
    )  # fmt: skip
    if row is None:
        return False
    if meaning.status is Status.PENDING:
        await _requeue_or_fail(connection, settings, task_id, row, meaning, message)
        return True
    await store.insert_outputs(connection, row["account_id"], task_id, outputs)
    crash.reach("settle")
    await store.forget_keys(connection, task_id)
    await _settle(connection, settings, task_id, row, is_charged=not meaning.is_platforms_fault)
    data: dict[str, Any] = {"status": meaning.status.value}
    if is_controlled:
        data |= {
            "completion": completion,
            "message": message,
            "files": [file_event(output) for output in outputs],
        }
    else:
        data |= {"errorCode": meaning.error_code, "error": message}
    await events.append(connection, task_id, [(f"task.{meaning.status}", data)])
    return True


def _failure(meaning: Meaning, message: str | None) -> dict[str, str | None]:
    if meaning.status is not Status.FAILED:
        return {}
    return {"error": message, "error_code": meaning.error_code}


async def _requeue_or_fail(
    connection: Connection, settings: Settings, task_id: str, row: Any, meaning: Meaning, message: str | None
) -> None:
    if row["tries"] < MAX_TRIES:
        await events.append(
            connection, task_id, [("task.requeued", {"status": "pending", "reason": message})]
        )
        delay = RETRY_DELAY * 2 ** row["tries"]
        await queue.enqueue(connection, task_id, row["attempt"], row["execution"]["runtimeRegion"], delay)
        return
    error = f"The platform lost this task's container {MAX_TRIES} times; it was not charged. {message or ''}".strip()
    await store.move(connection, task_id, Status.FAILED, error=error, error_code=meaning.error_code)
    await store.forget_keys(connection, task_id)
    await _settle(connection, settings, task_id, row, is_charged=False)
    data = {"status": "failed", "errorCode": meaning.error_code, "error": error}
    await events.append(connection, task_id, [("task.failed", data)])


async def _settle(
    connection: Connection, settings: Settings, task_id: str, row: Any, is_charged: bool
) -> None:
    rate = settings.container_micro_usd_per_minute
    cost = container_cost_micro_usd(row["container_micro_seconds"], rate) if is_charged else 0
    if await ledger.is_unlimited(connection, row["account_id"]):
        await store.set_cost(connection, task_id, cost)
        return
    await ledger.settle(connection, row["account_id"], task_id, row["hold_micro_usd"], cost)
    await store.set_cost(connection, task_id, cost)


def file_event(output: Output) -> dict[str, Any]:
    """What the log says of an output file."""
    return {
        "id": output.id,
        "filename": output.filename,
        "contentType": output.content_type,
        "sizeBytes": output.size_bytes,
        "outputName": output.output_name,
    }


async def _existing(connection: Connection | Pool, task_id: str, account_id: str | None = None) -> Task:
    task = await store.get(connection, task_id, account_id)
    if task is None:
        raise NotFound(f"Task {task_id} does not exist.")
    return task
