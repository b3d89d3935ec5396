"""What clients do to a conversation: create, send, steer, hand off, end, list.

Each function is one transaction.
"""

from collections.abc import Sequence
from dataclasses import replace

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.accounts import daily_cost, daily_use, restrictions
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.conversations import store
from agentcontainer.domain.conversations.model import Activity, Draft, LockedTask, Message, NewExecution
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.execution.service import resolve_for_account
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks import creation, queue
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.model import Dispatch, Task
from agentcontainer.domain.tasks.state import TERMINAL, EndReason, Status
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import Conflict, NotFound, ValidationError
from agentcontainer.settings import Settings

MESSAGE_CHANNEL = (
    "agentcontainer_messages"  # NOTIFY payload: the id of a task with a message for its runner to fetch
)
MAX_CONTENT_BYTES = 512 * 1024
MAX_QUEUED = 200
HANDOFF_MESSAGE = "Go on alone from here until the work is done."  # the default, for the agent


async def create(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    account_id: str,
    agent_id: str,
    dispatch: Dispatch,
    message: Draft,
) -> tuple[Task, Message]:
    """Create a conversation with its first message, to which the dispatch's input files belong.

    Raises:
        ValidationError: the message, a file, the version or an override is not valid; names the field.
        Others as `tasks.creation.dispatch`.
    """
    content = check_content(message.content, "message")
    titled = replace(dispatch, title=dispatch.title or creation.title_of(dispatch.instructions or content))
    async with db.transaction(pool) as connection:
        created = await creation.create(
            connection, settings, vault, account_id, agent_id, titled, "conversation", content
        )
        await store.set_turn(connection, created.id, 1, "queued", 0)
        draft = store.new_message(created.id, "user", content, turn_number=1)
        first = await store.insert(
            connection, draft, file_ids=dispatch.input_file_ids, traceparent=dispatch.traceparent
        )
        return await tasks.get(connection, account_id, created.id), first


async def send(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, task_id: str, message: Draft
) -> tuple[Task, Message]:
    """Queue a user's message, which opens the next turn. The turn begins at once if none is before it.

    Raises:
        NotFound: no such task.
        ValidationError: the message, a file or an override is not valid; names the field.
        Conflict: it is not a conversation, has ended, was handed off, or has too many messages waiting.
        Forbidden: an override gives the task wider access than the key of the request may give.
        LimitReached: the key has begun too many tasks and turns today.
        CostLimitReached: the account or the key has used as much money as it may today.
    """
    content = check_content(message.content, "content")
    async with db.transaction(pool) as connection:
        task = await _lock_open(connection, account_id, task_id)
        await daily_cost.check(connection, settings, account_id, message.caller, 0)
        if message.overrides.budget is UNSET or task.last_turn_number > task.turn_number:
            _check_budget(task)  # queued messages, which come first, need the raise too
        await files.check_inputs(connection, account_id, message.input_file_ids, caller=message.caller)
        new_execution = await _new_execution(connection, settings, vault, task, message)
        await restrictions.check_priority(connection, account_id, message.overrides)
        if not isinstance(message.overrides.priority, Unset):  # at once: it needs no new container
            await queue.set_priority(connection, task_id, message.overrides.priority)
        queued = await _queue(
            connection, task, content, new_execution=new_execution, file_ids=message.input_file_ids,
            traceparent=message.traceparent,
            caller=message.caller,
        )  # fmt: skip
        return await tasks.get(connection, account_id, task_id), queued


async def hand_off(
    pool: Pool,
    settings: Settings,
    account_id: str,
    task_id: str,
    message: str | None,
    traceparent: str | None = None,
    caller: Principal | None = None,
) -> tuple[Task, Message]:
    """Let the agent work alone until `finish`, from the next turn on. Raises as `send` does."""
    content = HANDOFF_MESSAGE if message is None else check_content(message, "message")
    async with db.transaction(pool) as connection:
        task = await _lock_open(connection, account_id, task_id)
        await daily_cost.check(connection, settings, account_id, caller, 0)
        _check_budget(task)
        await store.set_handed_off(connection, task_id)
        queued = await _queue(
            connection, task, content, is_handoff=True, traceparent=traceparent, caller=caller
        )
        return await tasks.get(connection, account_id, task_id), queued


async def end(pool: Pool, settings: Settings, account_id: str, task_id: str) -> Task:
    """Finish the conversation; its container stops within seconds. A finished one stays as it is.

    Raises:
        NotFound: no such task.
        Conflict: it is not a conversation, or has ended otherwise.
    """
    async with db.transaction(pool) as connection:
        task = await _lock_conversation(connection, account_id, task_id)
        if task.status not in TERMINAL:
            await tasks.end(connection, settings, task_id, EndReason.ENDED)
            await tasks.stop_container(connection, task_id)
        elif task.status is not Status.FINISHED:
            raise Conflict(f"Conversation {task_id} is {task.status} and cannot be ended.")
        return await tasks.get(connection, account_id, task_id)


async def interrupt(pool: Pool, account_id: str, task_id: str) -> Task:
    """Stop the conversation's present turn; the conversation goes on. Idempotent while the turn is being stopped.

    Raises:
        NotFound: no such task.
        Conflict: it is not a conversation, was handed off, or no turn runs or waits for a container.
    """
    async with db.transaction(pool) as connection:
        task = await _lock_conversation(connection, account_id, task_id)
        if task.handed_off_at is not None:
            raise Conflict(
                f"Conversation {task_id} was handed off: the agent works alone now. Cancel it instead."
            )
        is_between_turns = task.turn_status not in ("queued", "running")
        if task.status not in (Status.PENDING, Status.RUNNING):
            raise Conflict(f"Conversation {task_id} is {task.status}: no turn runs.")
        await store.set_interrupted(connection, task_id, task.turn_number + is_between_turns)
        await _notify_runner(connection, task_id)
        return await tasks.get(connection, account_id, task_id)


async def steer(pool: Pool, account_id: str, task_id: str, content: str) -> tuple[Task, Message]:
    """Send a steering message: an agent that works alone receives it before its next model request.

    Raises:
        NotFound: no such task.
        ValidationError: the message is not valid; names the field.
        Conflict: the task has ended, hibernates, is a conversation, or has too many messages waiting.
    """
    content = check_content(content, "content")
    async with db.transaction(pool) as connection:
        task = await lock(connection, account_id, task_id)
        if task.status not in (Status.PENDING, Status.RUNNING):
            hint = "" if task.status is not Status.HIBERNATING else " now: wake it, or raise its budget"
            raise Conflict(f"Task {task_id} is {task.status} and takes no message{hint}.")
        if task.mode == "conversation" and task.handed_off_at is None:
            raise Conflict(
                f"Task {task_id} is a conversation: use POST /api/v1/conversations/{task_id}/messages."
            )
        await _check_queue(connection, task_id)
        # An agent that was handed a conversation works alone in its last turn.
        message = await add_steering(connection, task_id, content, task.last_turn_number)
        await _notify_runner(connection, task_id)
        return await tasks.get(connection, account_id, task_id), message


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
    """The transcript in the order of its turns, from the message with the sequence `after` on.

    Raises:
        NotFound: no such task.
        Conflict: it is not a conversation (unless `of_any_mode`).
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
    """The agent's tool calls in these turns, by started_sequence, from `after` on.

    Raises:
        NotFound: no such task.
        Conflict: it is not a conversation.
    """
    await check_is_conversation(pool, account_id, task_id)
    return await store.list_activities(
        pool, task_id, from_turn=from_turn, to_turn=to_turn, after=after, limit=limit, is_descending=is_descending
    )  # fmt: skip


async def check_is_conversation(pool: Pool, account_id: str, task_id: str) -> Task:
    """The task, if it is a conversation.

    Raises:
        NotFound: no such task.
        Conflict: it is not a conversation.
    """
    task = await tasks.get(pool, account_id, task_id)
    if task.mode != "conversation":
        raise _not_a_conversation(task_id)
    return task


async def add_steering(connection: Connection, task_id: str, content: str, turn_number: int) -> Message:
    """Queue a message that opens no turn, for an agent that works alone. The caller has locked the task's row."""
    draft = store.new_message(task_id, "user", content, turn_number)
    return await store.insert(connection, draft, is_steering=True)


async def has_queued(connection: Connection, task_id: str) -> bool:
    """Whether there is a message that the agent has not received."""
    return await store.count_queued(connection, task_id) > 0


def check_content(content: str, field: str) -> str:
    """The content unchanged.

    Raises:
        ValidationError: it is empty, or too long; names `field`.
    """
    if not content.strip():
        raise ValidationError.at(field, "must not be empty")
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise ValidationError.at(
            field, f"must have at most {MAX_CONTENT_BYTES} bytes; send more as an input file"
        )
    return content


async def lock(connection: Connection, account_id: str, task_id: str) -> LockedTask:
    """The task of any mode, its row locked.

    Raises:
        NotFound: no such task.
    """
    task = await store.lock(connection, task_id, account_id=account_id)
    if task is None:
        raise NotFound(f"Task {task_id} does not exist.")
    return task


async def _lock_conversation(connection: Connection, account_id: str, task_id: str) -> LockedTask:
    task = await lock(connection, account_id, task_id)
    if task.mode != "conversation":
        raise _not_a_conversation(task_id)
    return task


async def _lock_open(connection: Connection, account_id: str, task_id: str) -> LockedTask:
    """Lock a conversation that takes messages."""
    task = await _lock_conversation(connection, account_id, task_id)
    if task.status in TERMINAL:
        raise Conflict(f"Conversation {task_id} is {task.status} and takes no message.")
    if task.handed_off_at is not None:
        raise Conflict(
            f"Conversation {task_id} was handed off: the agent works alone now. POST /api/v1/tasks/{task_id}/messages "
            "sends it a message."
        )
    return task


def _check_budget(task: LockedTask) -> None:
    if task.waits_for_budget:
        raise Conflict(
            f"The budget of conversation {task.id} is used up; raise it with PATCH /api/v1/tasks/{task.id}."
        )


async def begin_queued(connection: Connection, task: LockedTask) -> None:
    """Begin the turn of the first queued message of a conversation that waits for input, if there is one."""
    number = task.turn_number + 1
    if number <= task.last_turn_number:
        await store.set_turn(connection, task.id, number, "queued", 0)
        await tasks.requeue(connection, task.id)


async def _queue(
    connection: Connection,
    task: LockedTask,
    content: str,
    *,
    is_handoff: bool = False,
    new_execution: NewExecution | None = None,
    file_ids: Sequence[str] = (),
    traceparent: str | None = None,
    caller: Principal | None = None,
) -> Message:
    """Queue the message of the next free turn, and begin that turn at once if the conversation waits for input."""
    number = task.last_turn_number + 1
    await _check_queue(connection, task.id)
    await daily_use.take(connection, caller, 1)
    draft = store.new_message(task.id, "user", content, number)
    message = await store.insert(
        connection, draft, is_handoff=is_handoff, new_execution=new_execution, file_ids=file_ids,
        traceparent=traceparent,
    )  # fmt: skip
    await store.set_last_turn(connection, task.id, number)
    if task.status is Status.AWAITING_INPUT:
        await store.set_turn(connection, task.id, number, "queued", 0)
        # A changed execution needs a new container.
        if new_execution is None and await tasks.resume(connection, task.id):
            await _notify_runner(connection, task.id)
        else:
            await tasks.requeue(connection, task.id)
    return message


async def _check_queue(connection: Connection, task_id: str) -> None:
    if await store.count_queued(connection, task_id) >= MAX_QUEUED:
        raise Conflict(
            f"Task {task_id} has {MAX_QUEUED} messages waiting. Send more when the agent has received some of them."
        )


async def _new_execution(
    connection: Connection, settings: Settings, vault: Vault, task: LockedTask, message: Draft
) -> NewExecution | None:
    """The execution from this message on. None: the message does not change it."""
    key = message.provider_api_key
    if message.overrides == Overrides() and key is None:
        return None
    before = await store.last_queued_execution(connection, task.id) or task
    version = await agents.get_version(connection, task.account_id, task.agent_id, task.agent_version_id)
    restrictions.check_overrides(message.caller, message.overrides, version.defaults)
    overrides = before.overrides.updated(message.overrides)
    execution, price = await resolve_for_account(
        connection, task.account_id, version.defaults, overrides, settings, has_key=key is not None
    )
    least_budget.check_change(message.overrides, execution, settings, task, price)
    if execution == before.execution and key is None:
        return None
    return NewExecution(overrides, execution, vault.seal(key, task.id) if key else None)


async def _notify_runner(connection: Connection, task_id: str) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", MESSAGE_CHANNEL, task_id)


def _not_a_conversation(task_id: str) -> Conflict:
    return Conflict(f"Task {task_id} is not a conversation.")
