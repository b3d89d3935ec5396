"""The event log: one per task, append-only, numbered 1, 2, 3 … without gaps (CONTRACT §6).

The number is taken under the task row's lock, so readers by `sequence > after` miss nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id

CHANNEL = "agentcontainer_events"  # NOTIFY payload: the task's id
Draft = tuple[str, dict[str, Any]]  # (type, data)

EVENT_TYPES = {
    "task.created": "The task was dispatched.",
    "task.started": "A container is up; `attempt` counts them.",
    "task.titled": "A model gave the task its `title`.",
    "task.requeued": "The attempt was lost or drained; the task waits for another container.",
    "task.finished": "The agent's `finish` was accepted.",
    "task.failed": "The task ended uncontrolled; `errorCode` and `error` say why.",
    "task.cancelled": "The client cancelled the task.",
    "message.completed": "The agent said something.",
    "tool.started": "The agent called a tool.",
    "tool.completed": "The tool answered.",
    "finish.rejected": "A `finish` did not meet the output policy; the agent goes on.",
    "agent.reminded": "The agent stopped without `finish` and was asked to go on, or told that time or budget ends.",
    "model.retried": "A request to the provider failed and is tried again.",
}

_TAKE_NUMBERS = """
UPDATE tasks SET last_event_sequence = last_event_sequence + $2
WHERE id = $1 AND ($3::int IS NULL OR attempt = $3 AND status = 'running')
RETURNING last_event_sequence
"""
_INSERT = """
INSERT INTO events (task_id, sequence, id, type, data)
SELECT $1, number, id, type, data
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::jsonb[]) AS draft (number, id, type, data)
"""
_READ = "SELECT * FROM events WHERE task_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"


@dataclass(frozen=True)
class Event:
    """One entry of a task's log."""

    id: str
    sequence: int
    type: str
    task_id: str
    created_at: datetime
    data: dict[str, Any]

    @classmethod
    def of(cls, row: Record) -> "Event":
        return cls(row["id"], row["sequence"], row["type"], row["task_id"], row["created_at"], row["data"])


async def append(
    connection: Connection,
    task_id: str,
    drafts: Sequence[Draft],
    claim: Claim | None = None,
    ids: Sequence[str] | None = None,
) -> int | None:
    """Append in order, in the caller's transaction; returns the last number.

    With `claim`: None, and nothing written, when the claim is lost.
    """
    last = await connection.fetchval(_TAKE_NUMBERS, task_id, len(drafts), claim.attempt if claim else None)
    if last is None:
        return None
    first = last - len(drafts) + 1
    await connection.execute(
        _INSERT,
        task_id,
        list(range(first, last + 1)),
        ids or [new_id("evt") for _ in drafts],
        [type_ for type_, _ in drafts],
        [data for _, data in drafts],
    )
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, task_id)
    return int(last)


async def has(connection: Connection, task_id: str, event_id: str) -> bool:
    """Whether the event is in the task's log."""
    query = "SELECT true FROM events WHERE task_id = $1 AND id = $2"
    return bool(await connection.fetchval(query, task_id, event_id))


async def read_after(pool: Pool, task_id: str, after: int, limit: int) -> list[Event]:
    """Up to `limit` events whose sequence is above `after`, in order."""
    return [Event.of(row) for row in await pool.fetch(_READ, task_id, after, limit)]
