"""SQL of the purge: what is old enough to go, in the order of its age and in batches, and how much it is."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.retention.model import Amount, Kind, Position, UnusedFile

DAY = timedelta(days=1)
SILENT = timedelta(hours=1)  # a runner whose host is gone for that long counts as stopped
WHOLE_TABLE_SECONDS = 600.0

MAX_USES = 1000  # of a file that are read; of one with more, the account's live tasks are read instead

# Of a file `f`. The tasks and agents are found by indexes on what they name. `OFFSET 0` makes the planner look up each
# row instead of reading a whole table; `|| ''` keeps it from the index on file_id, which has all uses of the file.
_IS_USED = """(
    EXISTS (SELECT FROM tasks t WHERE t.id = f.task_id AND {live})
    OR EXISTS (SELECT FROM agent_versions v WHERE v.reference_file_ids @> ARRAY[f.id])
    OR EXISTS (SELECT FROM agent_versions v WHERE v.skills <> '[]' AND v.skills ? f.id)
    OR EXISTS (SELECT FROM tasks t WHERE {live} AND t.skills <> '[]' AND t.skills ? f.id)
    OR CASE WHEN (
        SELECT count(*) FROM (SELECT FROM task_input_files WHERE file_id = f.id LIMIT {max_uses}) AS use
    ) < {max_uses} THEN EXISTS (
        SELECT FROM task_input_files i CROSS JOIN LATERAL (
            SELECT FROM tasks t WHERE t.id = i.task_id AND {live} OFFSET 0
        ) AS task WHERE i.file_id = f.id
    ) ELSE EXISTS (
        SELECT FROM tasks t CROSS JOIN LATERAL (
            SELECT FROM task_input_files i WHERE i.task_id = t.id AND i.file_id || '' = f.id OFFSET 0
        ) AS use WHERE t.account_id = f.account_id AND {live}
    ) END
    OR CASE WHEN (
        SELECT count(*) FROM (SELECT FROM message_files WHERE file_id = f.id LIMIT {max_uses}) AS use
    ) < {max_uses} THEN EXISTS (
        SELECT FROM message_files i JOIN messages m ON m.id = i.message_id CROSS JOIN LATERAL (
            SELECT FROM tasks t WHERE t.id = m.task_id AND {live} OFFSET 0
        ) AS task WHERE i.file_id = f.id
    ) ELSE EXISTS (
        SELECT FROM tasks t CROSS JOIN LATERAL (
            SELECT FROM messages m JOIN message_files i ON i.message_id = m.id
            WHERE m.task_id = t.id AND i.file_id || '' = f.id OFFSET 0
        ) AS use WHERE t.account_id = f.account_id AND {live}
    ) END
)""".format(live="t.status IN ('pending', 'running', 'awaiting_input', 'hibernating')", max_uses=MAX_USES)

_OLD_TASKS = """
SELECT id, completed_at AS at FROM tasks WHERE completed_at IS NOT NULL AND deleted_at IS NULL
    AND completed_at < now() - $1::interval AND (completed_at, id) > ($2, $3)
ORDER BY completed_at, id LIMIT $4
"""
_LOCK_OLD_TASKS = """
SELECT id FROM tasks WHERE id = ANY($1::text[]) AND completed_at IS NOT NULL AND deleted_at IS NULL
FOR UPDATE SKIP LOCKED
"""
_LOCK_OUTPUTS = (
    "SELECT FROM files WHERE task_id = ANY($1::text[]) AND deleted_at IS NULL ORDER BY id FOR UPDATE"
)
_TASKS_IN_USE = f"""
SELECT DISTINCT f.task_id FROM files f WHERE f.task_id = ANY($1::text[]) AND f.deleted_at IS NULL AND {_IS_USED}
"""
_SIZE_OF_TASKS = """
SELECT coalesce(sum(pg_column_size(t.*)), 0) + coalesce((
    SELECT sum(size_bytes) FROM files WHERE task_id = ANY($1::text[]) AND deleted_at IS NULL
), 0) FROM tasks t WHERE id = ANY($1::text[])
"""
_OLD_FILES = """
SELECT id, created_at AS at FROM files WHERE deleted_at IS NULL AND {partial}
    AND created_at < now() - $1::interval AND (created_at, id) > ($2, $3)
ORDER BY created_at, id LIMIT $4
"""
LOCK_UNUSED_FILES = f"""
SELECT f.id, f.blob_key, f.size_bytes FROM files f
WHERE f.id = ANY($1::text[]) AND f.deleted_at IS NULL AND NOT {_IS_USED} FOR UPDATE OF f SKIP LOCKED
"""
# Found again until `events_purged_at` is set, so that a purge which is interrupted goes on.
_OLD_LOGS = """
SELECT id, completed_at AS at FROM tasks WHERE completed_at IS NOT NULL AND deleted_at IS NULL
    AND events_purged_at IS NULL AND completed_at < now() - $1::interval AND (completed_at, id) > ($2, $3)
ORDER BY completed_at, id LIMIT $4
"""
_BEGIN_LOGS = """
UPDATE tasks SET events_purged_to = last_event_sequence
WHERE id = ANY($1::text[]) AND completed_at IS NOT NULL AND events_purged_to < last_event_sequence
"""
_DELETE_EVENTS = """
WITH deleted AS (
    DELETE FROM events e WHERE ctid = ANY(ARRAY(
        SELECT e.ctid FROM events e JOIN tasks t ON t.id = e.task_id
        WHERE e.task_id = ANY($1::text[]) AND e.sequence <= t.events_purged_to LIMIT $2))
    RETURNING pg_column_size(e.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM deleted
"""
_END_LOGS = (
    "UPDATE tasks SET events_purged_at = now() WHERE id = ANY($1::text[]) AND events_purged_at IS NULL"
)
# In the order of an index: without it, each batch may read the whole beginning of the table, where nothing is left.
_DELETE_ANSWERS = """
WITH deleted AS (
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2))
    RETURNING octet_length(response) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM deleted
"""
_DELETE_WEBHOOK_DELIVERIES = """
WITH deleted AS (
    DELETE FROM webhook_deliveries d WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM webhook_deliveries WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2))
    RETURNING pg_column_size(d.*) + (
        SELECT coalesce(sum(pg_column_size(a.*)), 0) FROM webhook_attempts a WHERE a.delivery_id = d.id) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM deleted
"""
# A repeat of `complete` finds its file for that long after the upload's URL expired.
_DELETE_UPLOADS = """
DELETE FROM uploads WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM uploads WHERE file_id IS NOT NULL AND expires_at < now() - $1::interval
    ORDER BY expires_at LIMIT $2))
"""
_DELETE_DAILY_USE = """
DELETE FROM daily_use WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM daily_use WHERE day < (now() AT TIME ZONE 'UTC')::date - 1 ORDER BY day LIMIT $1))
"""
_STOP_SILENT_RUNNERS = """
UPDATE runners SET stopped_at = heartbeat_at WHERE stopped_at IS NULL AND heartbeat_at < now() - $1::interval
"""
# As long as a task may have run on it, a runner's row says on which host.
_DELETE_RUNNERS = """
DELETE FROM runners WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM runners WHERE stopped_at < now() - $1::interval ORDER BY stopped_at LIMIT $2))
"""
_DUE: dict[Kind, str] = {
    "events": """
        SELECT count(*), coalesce(sum(pg_column_size(e.*)), 0) FROM tasks t JOIN events e ON e.task_id = t.id
        WHERE t.completed_at IS NOT NULL AND t.deleted_at IS NULL AND t.events_purged_at IS NULL
            AND t.completed_at < now() - $1::interval
    """,
    "tasks": f"""
        SELECT count(*), coalesce(sum(pg_column_size(t.*) + coalesce(
            (SELECT sum(size_bytes) FROM files WHERE task_id = t.id AND deleted_at IS NULL), 0)), 0)
        FROM tasks t
        WHERE completed_at IS NOT NULL AND deleted_at IS NULL AND completed_at < now() - $1::interval
            AND NOT EXISTS (SELECT FROM files f WHERE f.task_id = t.id AND f.deleted_at IS NULL AND {_IS_USED})
    """,
    "files": f"""
        SELECT count(*), coalesce(sum(size_bytes), 0) FROM files f
        WHERE deleted_at IS NULL AND NOT is_partial AND created_at < now() - $1::interval AND NOT {_IS_USED}
    """,
    "partial_outputs": f"""
        SELECT count(*), coalesce(sum(size_bytes), 0) FROM files f
        WHERE deleted_at IS NULL AND is_partial AND created_at < now() - $1::interval AND NOT {_IS_USED}
    """,
    "feed": """
        SELECT count(*), coalesce(sum(pg_column_size(e.*)), 0) FROM feed_entries e
        WHERE created_at < now() - $1::interval
    """,
    "idempotency": """
        SELECT count(*), coalesce(sum(octet_length(response)), 0) FROM idempotency_keys
        WHERE created_at < now() - $1::interval
    """,
    "audit": """
        SELECT count(*), coalesce(sum(pg_column_size(e.*)), 0) FROM audit_log e
        WHERE at < now() - greatest($1::interval, interval '31 days')
    """,
    "webhook_deliveries": """
        SELECT count(*), coalesce(sum(pg_column_size(d.*) + coalesce(
            (SELECT sum(pg_column_size(a.*)) FROM webhook_attempts a WHERE a.delivery_id = d.id), 0)), 0)
        FROM webhook_deliveries d WHERE created_at < now() - $1::interval
    """,
    "usage": """
        SELECT count(*), coalesce(sum(pg_column_size(u.*)), 0) FROM usage u
        WHERE day < (now() - $1::interval AT TIME ZONE 'UTC')::date
    """,
}


async def old_tasks(pool: Pool, age: timedelta, after: Position, limit: int) -> list[Position]:
    """Tasks that ended at least that long ago, the oldest first."""
    return await _positions(pool, _OLD_TASKS, age, after, limit)


async def lock_deletable(connection: Connection, task_ids: Sequence[str]) -> list[str]:
    """Those of these tasks that have ended and whose output files nothing uses; their rows are locked."""
    locked = [row["id"] for row in await connection.fetch(_LOCK_OLD_TASKS, list(task_ids))]
    await db.forbid_whole_tables(connection)
    await connection.execute(_LOCK_OUTPUTS, locked)  # waits for transactions that are about to use one
    in_use = {row["task_id"] for row in await connection.fetch(_TASKS_IN_USE, locked)}
    return [task_id for task_id in locked if task_id not in in_use]


async def size_of_tasks(connection: Connection, task_ids: Sequence[str]) -> int:
    """Bytes of the rows of these tasks and of their output files."""
    return int(await connection.fetchval(_SIZE_OF_TASKS, list(task_ids)))


async def old_logs(pool: Pool, age: timedelta, after: Position, limit: int) -> list[Position]:
    """Tasks that ended at least that long ago and still have events, the oldest first."""
    return await _positions(pool, _OLD_LOGS, age, after, limit)


async def begin_purge_of_events(pool: Pool, task_ids: Sequence[str]) -> None:
    """From now on the logs of these tasks begin after their last event."""
    await pool.execute(_BEGIN_LOGS, list(task_ids))


async def delete_events(connection: Connection, task_ids: Sequence[str], limit: int) -> Amount:
    """Delete events whose purge has begun; returns how much that was."""
    return _amount(await connection.fetchrow(_DELETE_EVENTS, list(task_ids), limit))


async def end_purge_of_events(pool: Pool, task_ids: Sequence[str]) -> None:
    """Record that the events of these tasks are gone."""
    await pool.execute(_END_LOGS, list(task_ids))


async def old_files(
    pool: Pool, age: timedelta, after: Position, limit: int, *, are_partial: bool
) -> list[Position]:
    """Files that are at least that old, the oldest first: partial outputs, or all others."""
    query = _OLD_FILES.format(partial="is_partial" if are_partial else "NOT is_partial")
    return await _positions(pool, query, age, after, limit)


async def lock_unused(connection: Connection, file_ids: Sequence[str]) -> list[UnusedFile]:
    """Those of these files that nothing uses; their rows are locked."""
    await db.forbid_whole_tables(connection)
    rows = await connection.fetch(LOCK_UNUSED_FILES, list(file_ids))
    # Again: a transaction that waited for these locks, or that these waited for, may use one of them now.
    rows = await connection.fetch(LOCK_UNUSED_FILES, [row["id"] for row in rows])
    return [UnusedFile(row["id"], row["blob_key"], row["size_bytes"]) for row in rows]


async def delete_answers(connection: Connection, age: timedelta, limit: int) -> Amount:
    """Delete stored responses to requests with an Idempotency-Key; returns how much that was."""
    return _amount(await connection.fetchrow(_DELETE_ANSWERS, age, limit))


async def delete_webhook_deliveries(connection: Connection, age: timedelta, limit: int) -> Amount:
    """Delete old deliveries to webhooks, with their attempts; returns how much that was."""
    return _amount(await connection.fetchrow(_DELETE_WEBHOOK_DELIVERIES, age, limit))


async def delete_uploads(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete the rows of completed uploads that nobody asks for any more; returns how many."""
    return _count(await connection.execute(_DELETE_UPLOADS, age, limit))


async def delete_daily_use(connection: Connection, limit: int) -> int:
    """Delete what keys and accounts used on days before yesterday; returns how many rows."""
    return _count(await connection.execute(_DELETE_DAILY_USE, limit))


async def stop_silent_runners(pool: Pool) -> None:
    """Mark runners whose host is gone as stopped."""
    await pool.execute(_STOP_SILENT_RUNNERS, SILENT)


async def delete_runners(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete the rows of runners that stopped at least that long ago; returns how many."""
    return _count(await connection.execute(_DELETE_RUNNERS, age, limit))


async def due(pool: Pool, kind: Kind, age: timedelta) -> Amount:
    """How much a purge would remove. It may read whole tables."""
    return _amount(await pool.fetchrow(_DUE[kind], age, timeout=WHOLE_TABLE_SECONDS))


async def _positions(pool: Pool, query: str, age: timedelta, after: Position, limit: int) -> list[Position]:
    rows = await pool.fetch(query, age, after.at, after.id, limit)
    at: list[datetime] = [row["at"] for row in rows]
    return [Position(moment, row["id"]) for moment, row in zip(at, rows, strict=True)]


def _amount(row: Record | None) -> Amount:
    assert row is not None
    return Amount(int(row[0]), int(row[1]))


def _count(command_tag: str) -> int:
    return int(command_tag.split()[-1])
