"""What can be done to a task: one verb, one function, one transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.billing import ledger
from agentcontainer.domain.billing.prices import container_cost_micro_usd
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks import events, queue, repositories, store
from agentcontainer.domain.tasks.execution import merge
from agentcontainer.domain.tasks.model import Claim, Dispatch, Output, Task
from agentcontainer.domain.tasks.state import MAX_TRIES, MEANING, TERMINAL, EndReason, Meaning, Status
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

CANCEL_CHANNEL = "agentcontainer_cancels"  # NOTIFY payload: the task's id
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
        version = await agents.resolve_version(connection, account_id, agent_id, request.version_id)
        execution = merge(version.defaults, request.overrides, settings)
        await files.check_inputs(connection, account_id, request.input_file_ids)
        await files.check_inputs(connection, account_id, request.skills, "skills")
        is_private_allowed = settings.allow_private_repositories
        repositories.check(request.input_repositories, is_plain_token_allowed=is_private_allowed)
        task_id = new_id("tsk")
        key = request.provider_api_key
        values = (
            account_id, agent_id, version.id, request.title or title_of(request.instructions), request.instructions,
            request.metadata, request.overrides, execution, list(dict.fromkeys([*version.skills, *request.skills])),
            vault.seal(key, task_id) if key else None, settings.hold_micro_usd, request.title_source,
            repositories.sealed(request.input_repositories, vault, task_id),
        )  # fmt: skip
        await store.insert(connection, task_id, values, request.input_file_ids)
        await events.append(
            connection, task_id, [("task.created", {"status": "pending", "agentId": agent_id})]
        )
        await queue.enqueue(connection, task_id, 0, execution["runtimeRegion"])
        task = await _existing(connection, task_id)
        # Last: from here to the commit the account's other dispatches wait.
        held = await ledger.hold(connection, account_id, settings.hold_micro_usd, task_id)
        if held != settings.hold_micro_usd:
            await store.set_hold(connection, task_id, held)
        return task


def title_of(instructions: str) -> str:
    """The first line of the instructions, cut to a title."""
    line = next((line.strip("# \t") for line in instructions.splitlines() if line.strip("# \t")), "Task")
    return line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"


async def get(pool: Pool, account_id: str, task_id: str) -> Task:
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
            await connection.execute("SELECT pg_notify($1, $2)", CANCEL_CHANNEL, task_id)
            task = await _existing(connection, task_id)
    if task.status is not Status.CANCELLED:
        raise Conflict(f"Task {task_id} is {task.status} and cannot be cancelled.")
    return task


async def start_container(pool: Pool, claim: Claim) -> bool:
    """The container is up: bill from now, say so; False when the claim is lost."""
    async with db.transaction(pool) as connection:
        if not await store.container_started(connection, claim):
            return False
        data = {"status": "running", "attempt": claim.attempt}
        await events.append(connection, claim.task_id, [("task.started", data)], claim)
        return True


async def give_title(pool: Pool, claim: Claim, title: str) -> None:
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
    row = await store.move(
        connection, task_id, meaning.status, attempt=attempt, is_charged=meaning.is_charged,
        uses_a_try=meaning.uses_a_try, completion=reason.value if is_controlled else None,
        result=message if is_controlled else None, **_failure(meaning, message),
    )  # fmt: skip
    if row is None:
        return False
    if meaning.status is Status.PENDING:
        await _requeue_or_fail(connection, settings, task_id, row, meaning, message)
        return True
    await store.insert_outputs(connection, row["account_id"], task_id, outputs)
    await _settle(connection, settings, task_id, row, meaning.is_charged)
    data: dict[str, Any] = {"status": meaning.status.value}
    if is_controlled:
        data |= {
            "completion": reason.value,
            "message": message,
            "files": [_file_event(output) for output in outputs],
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


def _file_event(output: Output) -> dict[str, Any]:
    return {
        "id": output.id,
        "filename": output.filename,
        "sizeBytes": output.size_bytes,
        "outputName": output.output_name,
    }


async def _existing(connection: Connection | Pool, task_id: str, account_id: str | None = None) -> Task:
    task = await store.get(connection, task_id, account_id)
    if task is None:
        raise NotFound(f"Task {task_id} does not exist.")
    return task
