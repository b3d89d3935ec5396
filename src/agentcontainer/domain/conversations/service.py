"""What a client can do to a conversation: one verb, one function, one transaction."""

from dataclasses import replace
from typing import Any

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.conversations import store
from agentcontainer.domain.conversations.model import Activity, Draft, Message
from agentcontainer.domain.execution.service import laid_over, merge
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.model import Dispatch, Task
from agentcontainer.domain.tasks.state import TERMINAL, EndReason, Status
from agentcontainer.errors import Conflict, NotFound, ValidationError
from agentcontainer.settings import Settings

MESSAGE_CHANNEL = (
    "agentcontainer_messages"  # NOTIFY payload: the id of a task whose runner has a message to fetch
)
MAX_CONTENT_BYTES = 512 * 1024
MAX_QUEUED = 200
HANDOFF_MESSAGE = "Go on alone from here until the work is done."


async def create(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    account_id: str,
    agent_id: str,
    dispatch: Dispatch,
    message: Draft,
) -> tuple[Task, Message]:
    """A conversation with its first message. The dispatch's input files come with that message.

    Raises:
        ValidationError: the message, a file, a version or an override cannot be; names the field. And as
        `tasks.service.dispatch` does.
    """
    content = check_content(message.content, "message")
    titled = replace(dispatch, title=dispatch.title or tasks.title_of(dispatch.instructions or content))
    async with db.transaction(pool) as connection:
        task_id = await tasks.create(
            connection, settings, vault, account_id, agent_id, titled, "conversation"
        )
        await store.set_turn(connection, task_id, 1, "queued", 0)
        draft = store.new_message(task_id, "user", content, turn_number=1)
        made = await store.insert(connection, draft, file_ids=dispatch.input_file_ids)
        task = await tasks.get(connection, account_id, task_id)
        await tasks.hold(connection, settings, account_id, task_id)
        return task, made


async def send(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, task_id: str, message: Draft
) -> tuple[Task, Message]:
    """A user's message: the next turn, now or after those that are queued before it.

    Raises:
        NotFound: no such task. ValidationError: names the field.
        Conflict: it is no conversation, has ended, was handed off, or has too many messages waiting.
    """
    content = check_content(message.content, "content")
    async with db.transaction(pool) as connection:
        row = await _open(connection, account_id, task_id)
        await files.check_inputs(connection, account_id, message.input_file_ids)
        overrides, execution = await _execution(connection, settings, row, message)
        key = message.provider_api_key
        made = await _queue(
            connection, row, content, overrides=overrides, execution=execution,
            provider_key=vault.seal(key, task_id) if key else None, file_ids=message.input_file_ids,
        )  # fmt: skip
        return await tasks.get(connection, account_id, task_id), made


async def hand_off(pool: Pool, account_id: str, task_id: str, message: str | None) -> tuple[Task, Message]:
    """The agent goes on alone until `finish`, from the next turn on. Raises as `send` does."""
    content = HANDOFF_MESSAGE if message is None else check_content(message, "message")
    async with db.transaction(pool) as connection:
        row = await _open(connection, account_id, task_id)
        await store.set_handed_off(connection, task_id)
        made = await _queue(connection, row, content, is_handoff=True)
        return await tasks.get(connection, account_id, task_id), made


async def end(pool: Pool, settings: Settings, account_id: str, task_id: str) -> Task:
    """The user closes the conversation: `finished`; its container stops within seconds. Again is fine.

    Raises:
        NotFound: no such task. Conflict: it is no conversation, or has ended otherwise.
    """
    async with db.transaction(pool) as connection:
        row = await _conversation(connection, account_id, task_id)
        if row["status"] not in TERMINAL:
            await tasks.end(connection, settings, task_id, EndReason.ENDED)
            await tasks.stop_container(connection, task_id)
        elif row["status"] != Status.FINISHED:
            raise Conflict(f"Conversation {task_id} is {row['status']} and cannot be ended.")
        return await tasks.get(connection, account_id, task_id)


async def steer(pool: Pool, account_id: str, task_id: str, content: str) -> tuple[Task, Message]:
    """A message for an agent that works alone, which gets it before its next model request.

    Raises:
        NotFound: no such task. ValidationError: names the field.
        Conflict: it has ended, hibernates, is a conversation, or has too many messages waiting.
    """
    content = check_content(content, "content")
    async with db.transaction(pool) as connection:
        row = await store.lock(connection, task_id, account_id=account_id)
        if row is None:
            raise NotFound(f"Task {task_id} does not exist.")
        if row["status"] not in (Status.PENDING, Status.RUNNING):
            raise Conflict(f"Task {task_id} is {row['status']} and takes no message.")
        if row["mode"] == "conversation" and row["handed_off_at"] is None:
            raise Conflict(
                f"Task {task_id} is a conversation: use POST /api/v1/conversations/{task_id}/messages."
            )
        await _check_queue(connection, task_id)
        # Who works alone does so in the last turn.
        made = await add_steering(connection, task_id, content, row["last_turn_number"])
        await _tell_runner(connection, task_id)
        return await tasks.get(connection, account_id, task_id), made


async def list_messages(
    pool: Pool,
    account_id: str,
    task_id: str,
    *,
    after: int | None,
    limit: int,
    is_descending: bool,
    of_any_mode: bool = False,
) -> Page[Message]:
    """The transcript by sequence, from `after` on.

    Raises:
        NotFound: no such task. Conflict: it is no conversation, unless `of_any_mode`.
    """
    if of_any_mode:
        await tasks.get(pool, account_id, task_id)
    else:
        await check_is_conversation(pool, account_id, task_id)
    return await store.list_page(pool, task_id, after=after, limit=limit, is_descending=is_descending)


async def list_activities(
    pool: Pool,
    account_id: str,
    task_id: str,
    *,
    from_turn: int | None,
    to_turn: int | None,
    after: int | None,
    limit: int,
    is_descending: bool,
) -> Page[Activity]:
    """What the agent did in these turns, by started_sequence, from `after` on.

    Raises:
        NotFound: no such task. Conflict: it is no conversation.
    """
    await check_is_conversation(pool, account_id, task_id)
    return await store.list_activities(
        pool, task_id, from_turn=from_turn, to_turn=to_turn, after=after, limit=limit, is_descending=is_descending
    )  # fmt: skip


async def check_is_conversation(pool: Pool, account_id: str, task_id: str) -> Task:
    """The conversation.

    Raises:
        NotFound: no such task. Conflict: it is no conversation.
    """
    task = await tasks.get(pool, account_id, task_id)
    if task.mode != "conversation":
        raise _not_a_conversation(task_id)
    return task


async def add_steering(connection: Connection, task_id: str, content: str, turn_number: int) -> Message:
    """A message that an agent which works alone gets as soon as it can."""
    draft = store.new_message(task_id, "user", content, turn_number)
    return await store.insert(connection, draft, is_steering=True)


async def has_queued(connection: Connection, task_id: str) -> bool:
    """Whether a message waits that the agent has not got."""
    return await store.count_queued(connection, task_id) > 0


def check_content(content: str, field: str) -> str:
    """The content, as it may be.

    Raises:
        ValidationError: it is empty, or too long.
    """
    if not content.strip():
        raise ValidationError.at(field, "must not be empty")
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise ValidationError.at(
            field, f"must have at most {MAX_CONTENT_BYTES} bytes; send more as an input file"
        )
    return content


async def _conversation(connection: Connection, account_id: str, task_id: str) -> Any:
    """The row, locked."""
    row = await store.lock(connection, task_id, account_id=account_id)
    if row is None:
        raise NotFound(f"Task {task_id} does not exist.")
    if row["mode"] != "conversation":
        raise _not_a_conversation(task_id)
    return row


async def _open(connection: Connection, account_id: str, task_id: str) -> Any:
    """The row of a conversation that takes messages, locked."""
    row = await _conversation(connection, account_id, task_id)
    if row["status"] in TERMINAL:
        raise Conflict(f"Conversation {task_id} is {row['status']} and takes no message.")
    if row["handed_off_at"] is not None:
        raise Conflict(
            f"Conversation {task_id} was handed off: the agent works alone now. POST /api/v1/tasks/{task_id}/messages "
            "gives it a message."
        )
    return row


async def _queue(connection: Connection, row: Any, content: str, **rest: Any) -> Message:
    """The message of the next free turn; the turn begins at once when nothing is before it."""
    task_id, number = row["id"], row["last_turn_number"] + 1
    await _check_queue(connection, task_id)
    made = await store.insert(connection, store.new_message(task_id, "user", content, number), **rest)
    await store.set_last_turn(connection, task_id, number)
    if row["status"] == Status.AWAITING_INPUT:
        await store.set_turn(connection, task_id, number, "queued", 0)
        # What changes how the agent runs takes a new container.
        if rest.get("execution") is None and await tasks.resume(connection, task_id):
            await _tell_runner(connection, task_id)
        else:
            await tasks.requeue(connection, task_id)
    return made


async def _check_queue(connection: Connection, task_id: str) -> None:
    if await store.count_queued(connection, task_id) >= MAX_QUEUED:
        raise Conflict(
            f"Task {task_id} has {MAX_QUEUED} messages waiting; send more when some were answered."
        )


async def _execution(
    connection: Connection, settings: Settings, row: Any, message: Draft
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """All overrides of the task from this message on, and what they come to; None: as before."""
    if not message.overrides and message.provider_api_key is None:
        return None, None
    before = await store.last_execution(connection, row["id"]) or row
    version = await agents.get_version(
        connection, row["account_id"], row["agent_id"], row["agent_version_id"]
    )
    overrides = laid_over(before["overrides"], message.overrides)
    execution = merge(version.defaults, overrides, settings)
    if execution == before["execution"] and message.provider_api_key is None:
        return None, None
    return overrides, execution


async def _tell_runner(connection: Connection, task_id: str) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", MESSAGE_CHANNEL, task_id)


def _not_a_conversation(task_id: str) -> Conflict:
    return Conflict(f"Task {task_id} is not a conversation.")
