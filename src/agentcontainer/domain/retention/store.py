"""SQL of the purge: what is old enough to go, in the order of its age and in batches, and how much it is."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.retention.model import Due, Kind, Position

DAY = timedelta(days=1)
SILENT = timedelta(hours=1)  # a runner whose host is gone for that long counts as stopped
WHOLE_TABLE_SECONDS = 600.0

# Of a file `f`. The tasks and agents are found by indexes on what they name.
_LIVE = "t.status IN ('pending', 'running', 'awaiting_input', 'hibernating')"
_IS_USED = f"""(
    EXISTS (SELECT FROM tasks t WHERE t.id = f.task_id AND {_LIVE})
    OR EXISTS (SELECT FROM task_input_files i JOIN tasks t ON t.id = i.task_id WHERE i.file_id = f.id AND {_LIVE})
    OR EXISTS (SELECT FROM message_files i JOIN messages m ON m.id = i.message_id JOIN tasks t ON t.id = m.task_id
               WHERE i.file_id = f.id AND {_LIVE})
    OR EXISTS (SELECT FROM tasks t WHERE {_LIVE} AND t.skills <> '[]' AND t.skills ? f.id)
    OR EXISTS (SELECT FROM agent_versions v WHERE v.reference_file_ids @> ARRAY[f.id])
    OR EXISTS (SELECT FROM agent_versions v WHERE v.skills <> '[]' AND v.skills ? f.id)
)"""

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
_OLD_FILES = """
SELECT id, created_at AS at FROM files WHERE deleted_at IS NULL AND {partial}
    AND created_at < now() - $1::interval AND (created_at, id) > ($2, $3)
ORDER BY created_at, id LIMIT $4
"""
_LOCK_UNUSED_FILES = f"""
SELECT f.id, f.blob_key FROM files f
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
DELETE FROM events WHERE ctid = ANY(ARRAY(
    SELECT e.ctid FROM events e JOIN tasks t ON t.id = e.task_id
    WHERE e.task_id = ANY($1::text[]) AND e.sequence <= t.events_purged_to LIMIT $2))
"""
_END_LOGS = (
    "UPDATE tasks SET events_purged_at = now() WHERE id = ANY($1::text[]) AND events_purged_at IS NULL"
)
# In the order of an index: without it, each batch may read the whole beginning of the table, where nothing is left.
_DELETE_ANSWERS = """
DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2))
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
}


async def old_tasks(pool: Pool, age: timedelta, after: Position, limit: int) -> list[Position]:
    """Tasks that ended at least that long ago, the oldest first."""
    return await _positions(pool, _OLD_TASKS, age, after, limit)


async def lock_deletable(connection: Connection, task_ids: Sequence[str]) -> list[str]:
    """Those of these tasks that have ended and whose output files nothing uses; their rows are locked."""
    locked = [row["id"] for row in await connection.fetch(_LOCK_OLD_TASKS, list(task_ids))]
    await connection.execute(_LOCK_OUTPUTS, locked)  # waits for transactions that are about to use one
    in_use = {row["task_id"] for row in await connection.fetch(_TASKS_IN_USE, locked)}
    return [task_id for task_id in locked if task_id not in in_use]


async def old_logs(pool: Pool, age: timedelta, after: Position, limit: int) -> list[Position]:
    """Tasks that ended at least that long ago and still have events, the oldest first."""
    return await _positions(pool, _OLD_LOGS, age, after, limit)


async def begin_purge_of_events(pool: Pool, task_ids: Sequence[str]) -> None:
    """From now on the logs of these tasks begin after their last event."""
    await pool.execute(_BEGIN_LOGS, list(task_ids))


async def delete_events(connection: Connection, task_ids: Sequence[str], limit: int) -> int:
    """Delete events whose purge has begun; returns how many."""
    return _count(await connection.execute(_DELETE_EVENTS, list(task_ids), limit))


async def end_purge_of_events(pool: Pool, task_ids: Sequence[str]) -> None:
    """Record that the events of these tasks are gone."""
    await pool.execute(_END_LOGS, list(task_ids))


async def old_files(
    pool: Pool, age: timedelta, after: Position, limit: int, *, are_partial: bool
) -> list[Position]:
    """Files that are at least that old, the oldest first: partial outputs, or all others."""
    query = _OLD_FILES.format(partial="is_partial" if are_partial else "NOT is_partial")
    return await _positions(pool, query, age, after, limit)


async def lock_unused(connection: Connection, file_ids: Sequence[str]) -> dict[str, str]:
    """File id → blob key of those of these files that nothing uses; their rows are locked."""
    rows = await connection.fetch(_LOCK_UNUSED_FILES, list(file_ids))
    # Again: a transaction that waited for these locks, or that these waited for, may use one of them now.
    rows = await connection.fetch(_LOCK_UNUSED_FILES, [row["id"] for row in rows])
    return {row["id"]: row["blob_key"] for row in rows}


async def delete_answers(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete stored responses to requests with an Idempotency-Key; returns how many."""
    return _count(await connection.execute(_DELETE_ANSWERS, age, limit))


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


async def due(pool: Pool, kind: Kind, age: timedelta) -> Due:
    """How much a purge would remove. It may read whole tables."""
    row = await pool.fetchrow(_DUE[kind], age, timeout=WHOLE_TABLE_SECONDS)
    assert row is not None
    return Due(int(row[0]), int(row[1]))


async def _positions(pool: Pool, query: str, age: timedelta, after: Position, limit: int) -> list[Position]:
    rows = await pool.fetch(query, age, after.at, after.id, limit)
    at: list[datetime] = [row["at"] for row in rows]
    return [Position(moment, row["id"]) for moment, row in zip(at, rows, strict=True)]


def _count(command_tag: str) -> int:
    return int(command_tag.split()[-1])
