"""SQL on messages, on the columns of `tasks` that belong to turns, and on activities, which the event log holds."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.conversations.model import (
    Activity,
    LockedTask,
    Message,
    MessageFile,
    NewExecution,
    OpeningMessage,
)
from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.execution.store import (
    budget_to_json,
    execution_of,
    execution_to_json,
    overrides_of,
    overrides_to_json,
)
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.state import Status
from agentcontainer.ids import new_id

_INSERT = """
INSERT INTO messages (id, task_id, sequence, turn_number, attempt_number, role, status, content, input_tokens,
                      output_tokens, cost_micro_usd, created_at, is_steering, is_handoff, overrides, execution,
                      provider_key_ciphertext, traceparent, cached_input_tokens)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_INSERT_FILES = """
INSERT INTO message_files (message_id, file_id, position)
SELECT $1, id, position FROM unnest($2::text[]) WITH ORDINALITY AS file (id, position)
"""
_FILES = """
SELECT i.message_id, f.id, f.filename, f.content_type, f.size_bytes, f.created_at
FROM message_files i JOIN files f ON f.id = i.file_id WHERE i.message_id = ANY($1::text[]) ORDER BY i.position
"""
_FILES_BY_ID = """
SELECT f.id, f.filename, f.content_type, f.size_bytes, f.created_at
FROM unnest($1::text[]) WITH ORDINALITY AS named (id, position) JOIN files f ON f.id = named.id ORDER BY position
"""
_LOCK = """
SELECT id, account_id, agent_id, agent_version_id, mode, status, attempt, turn_number, turn_status, turn_attempt,
    last_turn_number, handed_off_at, overrides, execution, input_tokens, output_tokens, cached_input_tokens,
    unreported_tokens,
    budget_reported, model_cost_micro_usd, container_micro_seconds
    + coalesce(extract(epoch FROM clock_timestamp() - container_started_at) * 1000000, 0)::bigint AS used_micro_seconds
FROM tasks WHERE id = $1 AND ($2::text IS NULL OR account_id = $2) AND deleted_at IS NULL
    AND ($3::int IS NULL OR attempt = $3 AND status = 'running')
FOR UPDATE
"""
_PAGE = "SELECT * FROM messages WHERE task_id = $1"
_TURN_OF = "(SELECT turn_number FROM messages WHERE task_id = $1 AND sequence = $2)"
_OF_TURN = (
    "SELECT * FROM messages WHERE task_id = $1 AND turn_number = $2 AND role = 'user' AND NOT is_steering"
)
_QUEUED = "SELECT count(*) FROM messages WHERE task_id = $1 AND status = 'queued'"
_LAST_EXECUTION = """
SELECT overrides, execution, provider_key_ciphertext FROM messages
WHERE task_id = $1 AND status = 'queued' AND execution IS NOT NULL
ORDER BY turn_number DESC LIMIT 1
"""
_SET_QUEUED_BUDGET = """
UPDATE messages SET overrides = jsonb_set(overrides, '{budget}', $2), execution = jsonb_set(execution, '{budget}', $2)
WHERE task_id = $1 AND status = 'queued' AND execution IS NOT NULL
"""
_SET_TURN = """
UPDATE tasks SET turn_number = $2, turn_status = $3, turn_attempt = $4,
    last_turn_number = greatest(last_turn_number, $2), turn_base_micro_seconds = CASE
        WHEN $3 = 'running' AND $4 = 1 THEN container_micro_seconds ELSE turn_base_micro_seconds END
WHERE id = $1
"""
_SET_DELIVERED = """
UPDATE messages SET status = 'delivered', attempt_number = $2, provider_key_ciphertext = NULL,
    delivered_at = clock_timestamp() WHERE id = $1
"""
_REQUEUE_STEERING = """
UPDATE messages m SET status = 'queued' FROM tasks t LEFT JOIN checkpoints c ON c.id = t.checkpoint_id
WHERE t.id = $1 AND t.attempt = $2 AND t.status = 'running' AND m.task_id = t.id AND m.is_steering
    AND m.status = 'delivered' AND (c.id IS NULL OR m.delivered_at > c.created_at)
"""
_WITH_NEWS = """
SELECT task.id FROM unnest($1::text[]) AS task (id)
WHERE EXISTS (SELECT FROM messages WHERE messages.task_id = task.id AND messages.status = 'queued')
    OR EXISTS (SELECT FROM tasks WHERE tasks.id = task.id AND interrupted_turn = turn_number)
"""
_STEERING = """
SELECT id, content FROM messages WHERE task_id = $1 AND is_steering AND status = 'queued' ORDER BY sequence
"""
# A tool call without a completion is running only if its attempt is: a lost attempt completes none.
_ACTIVITIES = """
SELECT s.sequence AS started_sequence, s.data AS started, s.created_at AS started_at,
    c.sequence AS completed_sequence, c.data AS completed, c.created_at AS completed_at, t.status = 'running'
        AND t.turn_number = (s.data->>'turnNumber')::int AND t.turn_attempt = (s.data->>'attemptNumber')::int AS is_live
FROM events s JOIN tasks t ON t.id = s.task_id LEFT JOIN LATERAL (
    SELECT sequence, data, created_at FROM events c
    WHERE c.task_id = s.task_id AND c.type = 'tool.completed' AND c.sequence > s.sequence
        AND c.data->>'callId' = s.data->>'callId' AND c.data->>'attemptNumber' = s.data->>'attemptNumber'
        AND c.data->>'turnNumber' = s.data->>'turnNumber'
    ORDER BY c.sequence LIMIT 1
) c ON true
WHERE s.task_id = $1 AND s.type = 'tool.started'
"""
# The log has no index by turn. The events of a turn are after the message that opens it, and before the reply of this
# turn or of a later one.
_FROM_TURN = """
AND (s.data->>'turnNumber')::int >= ${number} AND s.sequence > coalesce((
    SELECT sequence FROM messages WHERE task_id = $1 AND turn_number >= ${number} AND role = 'user' AND NOT is_steering
    ORDER BY turn_number LIMIT 1), 0)
"""
_TO_TURN = """
AND (s.data->>'turnNumber')::int <= ${number} AND s.sequence < coalesce((
    SELECT sequence FROM messages WHERE task_id = $1 AND turn_number >= ${number} AND role = 'assistant'
        AND NOT is_steering ORDER BY turn_number LIMIT 1), 9223372036854775807)
"""


async def lock(
    connection: Connection, task_id: str, *, account_id: str | None = None, attempt: int | None = None
) -> LockedTask | None:
    """The task, its row locked. None: it does not exist, is deleted, is not of `account_id`, or the claim of `attempt`
    is lost."""
    row = await connection.fetchrow(_LOCK, task_id, account_id, attempt)
    if row is None:
        return None
    parsed = ("status", "overrides", "execution")
    return LockedTask(
        **{name: row[name] for name in LockedTask.__dataclass_fields__ if name not in parsed},
        status=Status(row["status"]),
        overrides=overrides_of(row["overrides"]),
        execution=execution_of(row["execution"]),
    )


async def insert(
    connection: Connection,
    message: Message,
    *,
    claim: Claim | None = None,
    is_steering: bool = False,
    is_handoff: bool = False,
    new_execution: NewExecution | None = None,
    file_ids: Sequence[str] = (),
    traceparent: str | None = None,
) -> Message:
    """Insert a message and log it; returns it with its sequence and files. The caller has locked the task's row."""
    message = replace(message, files=await _files(connection, file_ids))
    sequence = await events.append(connection, message.task_id, [message.created_event()], claim)
    assert sequence is not None, "the row is locked, and the claim was checked"
    message = replace(message, sequence=sequence)
    new = new_execution
    await connection.execute(
        _INSERT, message.id, message.task_id, sequence, message.turn_number, message.attempt_number, message.role,
        message.status, message.content, message.input_tokens, message.output_tokens, message.cost_micro_usd,
        message.created_at, is_steering, is_handoff,
        overrides_to_json(new.overrides) if new else None,
        execution_to_json(new.execution) if new else None,
        new.provider_key_ciphertext if new else None, traceparent, message.cached_input_tokens,
    )  # fmt: skip
    if file_ids:
        await connection.execute(_INSERT_FILES, message.id, list(file_ids))
    return message


def new_message(
    task_id: str, role: Literal["user", "assistant"], content: str, turn_number: int, attempt_number: int = 1,
    *, input_tokens: int = 0, output_tokens: int = 0, cached_input_tokens: int = 0, cost_micro_usd: int = 0,
) -> Message:  # fmt: skip
    """A message to `insert`."""
    return Message(
        id=new_id("msg"), task_id=task_id, sequence=0, turn_number=turn_number, attempt_number=attempt_number,
        role=role, status="queued" if role == "user" else "created", content=content, input_tokens=input_tokens,
        output_tokens=output_tokens, cached_input_tokens=cached_input_tokens,
        cost_micro_usd=cost_micro_usd, created_at=datetime.now(UTC),
    )  # fmt: skip


async def of_turn(connection: Connection, task_id: str, turn_number: int) -> OpeningMessage | None:
    """The user's message that opens the turn. None: there is no such turn yet."""
    row = await connection.fetchrow(_OF_TURN, task_id, turn_number)
    if row is None:
        return None
    return OpeningMessage(
        row["id"], row["content"], row["status"], row["is_handoff"], _new_execution(row), row["traceparent"]
    )


async def count_queued(connection: Connection, task_id: str) -> int:
    """How many messages the agent has not received yet."""
    return int(await connection.fetchval(_QUEUED, task_id))


async def last_queued_execution(connection: Connection, task_id: str) -> NewExecution | None:
    """What the last queued message that changes the execution sets."""
    row = await connection.fetchrow(_LAST_EXECUTION, task_id)
    return None if row is None else _new_execution(row)


async def set_queued_budget(connection: Connection, task_id: str, budget: Budget) -> None:
    """Set the budget in what queued messages change, which would otherwise set an earlier one."""
    await connection.execute(_SET_QUEUED_BUDGET, task_id, budget_to_json(budget))


async def set_turn(connection: Connection, task_id: str, number: int, status: str, attempt: int) -> None:
    """Set the current turn, its status, and the number of the attempt at it."""
    await connection.execute(_SET_TURN, task_id, number, status, attempt)


async def set_last_turn(connection: Connection, task_id: str, number: int) -> None:
    """Set the last turn that a message was sent for."""
    await connection.execute("UPDATE tasks SET last_turn_number = $2 WHERE id = $1", task_id, number)


async def set_interrupted(connection: Connection, task_id: str, turn_number: int) -> None:
    """Record that the user wants this turn to stop."""
    await connection.execute("UPDATE tasks SET interrupted_turn = $2 WHERE id = $1", task_id, turn_number)


async def is_interrupted(pool: Pool, task_id: str, turn_number: int) -> bool:
    """Whether the user wants this turn to stop."""
    query = "SELECT interrupted_turn = $2 FROM tasks WHERE id = $1"
    return bool(await pool.fetchval(query, task_id, turn_number))


async def set_handed_off(connection: Connection, task_id: str) -> None:
    """Record that the agent works alone from the next turn on."""
    await connection.execute("UPDATE tasks SET handed_off_at = clock_timestamp() WHERE id = $1", task_id)


async def set_error(connection: Connection, task_id: str, error: str | None, error_code: str | None) -> None:
    """Set why the last turn failed. None: it did not fail."""
    query = "UPDATE tasks SET error = $2, error_code = $3 WHERE id = $1"
    await connection.execute(query, task_id, error, error_code)


async def set_checkpoint(connection: Connection, task_id: str, checkpoint_id: str | None) -> None:
    """A turn is over: set the checkpoint that the next container starts from (None: unchanged) and reset the tries."""
    query = "UPDATE tasks SET checkpoint_id = coalesce($2, checkpoint_id), tries = 0, is_mid_turn = false WHERE id = $1"
    await connection.execute(query, task_id, checkpoint_id)


async def is_queued(connection: Connection, message_id: str) -> bool:
    """Whether the agent has not received the message yet."""
    query = "SELECT status = 'queued' FROM messages WHERE id = $1"
    return bool(await connection.fetchval(query, message_id))


async def set_delivered(connection: Connection, message_id: str, attempt_number: int) -> None:
    """The agent has received the message; its provider key is the task's now."""
    await connection.execute(_SET_DELIVERED, message_id, attempt_number)


async def with_news(pool: Pool, task_ids: Collection[str]) -> list[str]:
    """Those of the tasks that have a message which the agent has not received, or whose present turn must stop."""
    rows = await pool.fetch(_WITH_NEWS, list(task_ids))
    return [row["id"] for row in rows]


async def queued_steering(pool: Pool, task_id: str) -> list[tuple[str, str]]:
    """(id, content) of the steering messages that the agent has not received, in order."""
    return [(row["id"], row["content"]) for row in await pool.fetch(_STEERING, task_id)]


async def requeue_steering(pool: Pool, claim: Claim) -> None:
    """Queue again the steering messages that were delivered after the checkpoint which the attempt starts from."""
    await pool.execute(_REQUEUE_STEERING, claim.task_id, claim.attempt)


async def list_page(
    pool: Pool, task_id: str, *, after: int | None, limit: int, is_descending: bool
) -> Page[Message]:
    """Messages by turn, and by sequence within a turn, from the message with the sequence `after` on. A message that
    waited for its turn follows the reply before it, which has a higher sequence."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = _PAGE, ()
    if after is not None:
        query, arguments = f"{_PAGE} AND (turn_number, sequence) {sign} ({_TURN_OF}, $2)", (after,)
    order = f"turn_number {direction}, sequence {direction}"
    page = await db.fetch_page(pool, query, task_id, *arguments, order=order, limit=limit, of=_message)
    files: dict[str, list[MessageFile]] = {}
    for row in await pool.fetch(_FILES, [message.id for message in page.rows]):
        files.setdefault(row["message_id"], []).append(_file(row))
    return replace(page, rows=[replace(message, files=files.get(message.id, ())) for message in page.rows])


async def list_activities(
    pool: Pool,
    task_id: str,
    *,
    from_turn: int | None,
    to_turn: int | None,
    after: int | None,
    limit: int,
    is_descending: bool,
) -> Page[Activity]:
    """Activities by started_sequence, from `after` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = _ACTIVITIES, list[int]()
    bounds = ((_FROM_TURN, from_turn), (_TO_TURN, to_turn), (f"AND s.sequence {sign} ${{number}}", after))
    for condition, value in bounds:
        if value is not None:
            arguments.append(value)
            query += condition.format(number=len(arguments) + 1)
    order = f"started_sequence {direction}"
    return await db.fetch_page(pool, query, task_id, *arguments, order=order, limit=limit, of=_activity)


def _new_execution(row: Record) -> NewExecution | None:
    if row["execution"] is None:
        return None
    return NewExecution(
        overrides_of(row["overrides"]), execution_of(row["execution"]), row["provider_key_ciphertext"]
    )


def _message(row: Record) -> Message:
    return Message(**{name: row[name] for name in Message.__dataclass_fields__ if name != "files"})


def _activity(row: Record) -> Activity:
    started, completed = row["started"], row["completed"]
    status: Literal["running", "completed", "failed"]
    if completed is not None:
        status, error_code = ("failed", "tool_error") if completed["isError"] else ("completed", None)
    else:
        status, error_code = ("running", None) if row["is_live"] else ("failed", "interrupted")
    return Activity(
        id=started["activityId"], turn_number=started["turnNumber"], attempt_number=started["attemptNumber"],
        started_sequence=row["started_sequence"], completed_sequence=row["completed_sequence"],
        call_id=started["callId"], tool_key=started["tool"], input=started["input"],
        input_omitted_reason=started["inputOmittedReason"], status=status, error_code=error_code,
        started_at=row["started_at"], completed_at=row["completed_at"],
        duration_ms=completed["durationMs"] if completed else None,
    )  # fmt: skip


async def _files(connection: Connection, file_ids: Sequence[str]) -> list[MessageFile]:
    if not file_ids:
        return []
    return [_file(row) for row in await connection.fetch(_FILES_BY_ID, list(file_ids))]


def _file(row: Record) -> MessageFile:
    return MessageFile(**{name: row[name] for name in MessageFile.__dataclass_fields__})
