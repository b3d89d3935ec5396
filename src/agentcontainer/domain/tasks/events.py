"""The event log of a task: append-only, numbered 1, 2, 3 … without gaps.

Numbers are assigned while the task's row is locked, so a reader of `sequence > after` misses no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.feed.model import EVENT_FIELDS, SUMMARY, fields_of
from agentcontainer.domain.feed.store import OUTBOX_CHANNEL
from agentcontainer.domain.tasks import counting
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id

CHANNEL = "agentcontainer_events"  # NOTIFY payload: the task's id
MAX_SEQUENCE = 2**63 - 1
SUMMARY_CHARACTERS = 512  # of each string in the data of an event, in a list of summaries

EVENT_TYPES = {
    "task.created": "The task was dispatched.",
    "task.claimed": "A runner has claimed the task and prepares a container; `attempt` counts the claims.",
    "task.started": "A container is up; `attempt` counts them.",
    "task.titled": "A model gave the task its `title`.",
    "task.requeued": "The attempt was lost or drained; the task waits for another container.",
    "task.checkpointed": "The state of a long run was saved; `pausedMs` is how long the container was paused for it.",
    "task.hibernated": "The task hibernates until `hibernateUntilAt` at the latest; `message` says why.",
    "task.woken": "Something woke the task (`kind`: message, external_wake, deadline, link, provider, budget); it "
    "waits for a container.",
    "budget.warning": "The task has used `percent` (50 or 80) of its budget; once each for a budget.",
    "budget.reached": 'The budget is used up: the task fails soon, or with `onReached: "pause"` waits until it is '
    "raised.",
    "task.awaiting_input": "A conversation waits for the user's next message, until `expiresAt`.",
    "task.finished": "The agent's `finish` was accepted, or the user ended the conversation.",
    "task.failed": "The task failed; `errorCode` and `error` say why.",
    "task.cancelled": "The client cancelled the task.",
    "task.expired": "The conversation got no message in time.",
    "turn.started": "The agent begins to work on a message; `attemptNumber` counts attempts at the turn.",
    "turn.completed": "The turn is over; `messageId` names the reply.",
    "turn.failed": "The turn ended without a reply; `errorCode` and `error` say why. The conversation goes on.",
    "message.created": "A message entered the transcript: the user's, or the agent's reply at the end of a turn.",
    "message.delivered": "The agent has received the user's message.",
    "message.completed": "The agent completed a message. Until then, live streams show its text as `message.delta`.",
    "file.shared": "The agent made a file of a conversation downloadable.",
    "tool.started": "The agent called a tool.",
    "tool.completed": "The tool answered.",
    "finish.rejected": "A `finish` did not meet the output policy; the agent goes on.",
    "egress.refused": "The task asked for a `host` that its allow-list does not name, at `port` (null: its address); "
    "`rule` is the entry of `overrides.egress.allow` that would allow it. "
    "Logged once for each host and port, and at most 200 times.",
    "agent.reminded": "The agent stopped without `finish` and was asked to go on, or its time or budget runs out.",
    "model.retried": "A request to the provider failed and is tried again.",
    "context.compacting": "A summary is written to replace most of a long conversation, which takes up to minutes.",
    "context.compacted": "The summary replaced it; `tokensBefore` is null if that failed.",
    "context.lost": "The agent's session was missing or damaged; the agent got its instructions again.",
}

# One statement, because the task's row is locked from here to the end of the transaction. The row has the task's state
# after the event, except where the event says it.
_APPEND = """
WITH task AS (
    UPDATE tasks SET last_event_sequence = last_event_sequence + $2
    WHERE id = $1 AND ($3::int IS NULL OR attempt = $3 AND status = 'running')
    RETURNING id, account_id, agent_id, mode, status, title, metadata, completion, error_code, completed_at,
        cost_micro_usd, last_event_sequence, extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_seconds
), event AS (
    INSERT INTO events (task_id, sequence, id, type, data)
    SELECT task.id, last_event_sequence - $2 + number, draft.id, type, data
    FROM task, unnest($4::text[], $5::text[], $6::jsonb[]) WITH ORDINALITY AS draft (id, type, data, number)
    RETURNING sequence, id, type, created_at
), entry AS (
    INSERT INTO feed_outbox (account_id, task_id, id, type, created_at, data)
    SELECT account_id, task.id, event.id, type, created_at, {summary} || fields
    FROM task, event JOIN unnest($7::text[], $8::jsonb[]) AS listed (id, fields) ON listed.id = event.id
    ORDER BY sequence
)
SELECT last_event_sequence, mode, age_seconds,
    pg_notify($9, id), CASE WHEN cardinality($7::text[]) > 0 THEN pg_notify($10, '') END
FROM task
"""
_LOCK_NUMBERS = "SELECT last_event_sequence FROM tasks WHERE id = $1 FOR UPDATE"
_GAPS = """
SELECT t.id FROM tasks t LEFT JOIN (
    SELECT task_id, count(*) AS events, min(sequence) AS first, max(sequence) AS last
    FROM events e JOIN tasks t ON t.id = e.task_id WHERE sequence > events_purged_to GROUP BY task_id
) AS log ON log.task_id = t.id
WHERE t.deleted_at IS NULL AND (t.last_event_sequence - t.events_purged_to <> coalesce(log.events, 0)
    OR log.events > 0 AND (log.first <> t.events_purged_to + 1 OR log.last <> t.last_event_sequence))
ORDER BY t.id LIMIT 1000
"""
_LOG_SIZE = "SELECT count(*), coalesce(sum(pg_column_size(data)), 0)::bigint FROM events WHERE task_id = $1"
_LOG = "SELECT * FROM events WHERE task_id = $1 AND sequence > $2 AND sequence < $3"
_SUMMARIES = """
SELECT id, sequence, type, task_id, created_at, summary.data, summary.data <> events.data AS is_shortened
FROM events CROSS JOIN LATERAL (SELECT shorten_strings(events.data, $4) AS data) AS summary
WHERE task_id = $1 AND sequence > $2 AND sequence < $3
"""


@dataclass(frozen=True)
class LogSize:
    """The size of a task's event log, or its limit."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Event:
    """One entry of a task's log. `is_shortened`: its data is a summary, in which strings were cut."""

    id: str
    sequence: int
    type: str
    task_id: str
    created_at: datetime
    data: dict[str, Any]
    is_shortened: bool = False

    @classmethod
    def of(cls, row: Record) -> "Event":
        return cls(
            row["id"], row["sequence"], row["type"], row["task_id"], row["created_at"], row["data"],
            row.get("is_shortened", False),
        )  # fmt: skip


async def append(
    connection: Connection,
    task_id: str,
    drafts: Sequence[Draft],
    claim: Claim | None = None,
    ids: Sequence[str] | None = None,
) -> int | None:
    """Append events in the caller's transaction, and put those of the account's feed into its outbox.

    Returns the number of the last one. None, and nothing written: the claim is lost.
    """
    ids = ids or [new_id("evt") for _ in drafts]
    listed = [
        (event_id, event) for event_id, event in zip(ids, drafts, strict=True) if event.type in EVENT_FIELDS
    ]
    row = await connection.fetchrow(
        _APPEND.format(summary=SUMMARY), task_id, len(drafts), claim.attempt if claim else None,
        ids, [event.type for event in drafts], [event.data for event in drafts],
        [event_id for event_id, _ in listed], [fields_of(event.type, event.data) for _, event in listed],
        CHANNEL, OUTBOX_CHANNEL,
    )  # fmt: skip
    if row is None:
        return None
    db.on_commit(lambda: counting.count(drafts, row["mode"], row["age_seconds"]))
    return row["last_event_sequence"]


async def gaps(pool: Pool) -> list[str]:
    """Ids of tasks whose events are not numbered without gaps up to the task's last number, from 1 or from the first
    that retention keeps. Reads the whole table."""
    return [row["id"] for row in await pool.fetch(_GAPS, timeout=600)]


async def log_size(pool: Pool, task_id: str) -> LogSize:
    """The size of the task's log."""
    row = await pool.fetchrow(_LOG_SIZE, task_id)
    assert row is not None
    return LogSize(row[0], row[1])


async def last_if_written(connection: Connection, task_id: str, event_id: str) -> int | None:
    """The number of the log's last event if the log contains this one, else None. It waits for transactions that write
    to the log, because one of them may be writing this event."""
    last = await connection.fetchval(_LOCK_NUMBERS, task_id)
    query = "SELECT true FROM events WHERE task_id = $1 AND id = $2"
    return int(last) if await connection.fetchval(query, task_id, event_id) else None


async def get(pool: Pool, task_id: str, sequence: int) -> Event | None:
    """The event with this number. None: there is none."""
    row = await pool.fetchrow("SELECT * FROM events WHERE task_id = $1 AND sequence = $2", task_id, sequence)
    return None if row is None else Event.of(row)


async def list_page(
    pool: Pool,
    task_id: str,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int,
    is_descending: bool = False,
    is_summary: bool = False,
) -> Page[Event]:
    """The task's events between `after` and `before`, by sequence. `is_summary`: with long strings cut."""
    order = f"sequence {'DESC' if is_descending else 'ASC'}"
    arguments = [task_id, after, MAX_SEQUENCE if before is None else before]
    if is_summary:
        arguments.append(SUMMARY_CHARACTERS)
    query = _SUMMARIES if is_summary else _LOG
    return await db.fetch_page(pool, query, *arguments, order=order, limit=limit, of=Event.of)
