"""SQL that marks tasks as deleted, and that removes the rows of marked tasks in small batches.

Every table that refers to tasks is in `STEPS`; a test compares it with the foreign keys of the schema. Ledger entries
name tasks without a foreign key, and stay.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.checkpoints.store import PARTIAL_OUTPUTS_WITHIN
from agentcontainer.domain.deletion.model import Deletable, Removed
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files import unowned
from agentcontainer.domain.tasks.state import Status
from agentcontainer.domain.webhooks import deliveries as webhook_deliveries

# The runner that had the container stores the partial outputs within this time, or has died.
COLLECTED_WITHIN = timedelta(seconds=60)
NOW = timedelta(0)

_LOCK = """
SELECT id, account_id, status, status IN ('failed', 'cancelled', 'expired') AND remains_at IS NULL
    AND started_at IS NOT NULL
    AND completed_at > now() - CASE WHEN checkpoint_id IS NULL THEN $3::interval ELSE $4::interval END
    AS is_collecting
FROM tasks WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL FOR UPDATE
"""
# `remains_at`: no partial outputs are stored from now on. `checkpoint_id`: so that its row can be removed.
_MARK = """
UPDATE tasks SET deleted_at = clock_timestamp(), remains_at = coalesce(remains_at, now()), checkpoint_id = NULL
WHERE id = ANY($1::text[])
"""
_MARK_FILES = "UPDATE files SET deleted_at = now() WHERE task_id = ANY($1::text[]) AND deleted_at IS NULL"
_MARKED = "SELECT id FROM tasks WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT $1"
# Each of these deletes at most $2 rows of the tasks $1.
_MESSAGE_FILES = """
DELETE FROM message_files WHERE ctid = ANY(ARRAY(
    SELECT f.ctid FROM messages m JOIN message_files f ON f.message_id = m.id
    WHERE m.task_id = ANY($1::text[]) LIMIT $2)) RETURNING file_id
"""
_INPUTS = """
DELETE FROM task_input_files WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM task_input_files WHERE task_id = ANY($1::text[]) LIMIT $2)) RETURNING file_id
"""
_CHECKPOINTS = """
DELETE FROM checkpoints WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM checkpoints WHERE task_id = ANY($1::text[]) LIMIT $2)) RETURNING blob_key
"""
_OUTPUTS = "SELECT id FROM files WHERE task_id = ANY($1::text[]) LIMIT $2"
# The lock: whoever removes the last task of a batch at the same time as others must see that it is the last.
_LOCK_BATCHES = """
SELECT id FROM batches WHERE id IN (SELECT batch_id FROM tasks WHERE id = ANY($1::text[])) ORDER BY id FOR UPDATE
"""
_TASKS = "DELETE FROM tasks WHERE id = ANY($1::text[]) AND deleted_at IS NOT NULL"
_EMPTY_BATCHES = """
DELETE FROM batches b WHERE id = ANY($1::text[]) AND NOT EXISTS (SELECT FROM tasks WHERE batch_id = b.id)
"""

Step = Callable[[Connection, Sequence[str], int], Awaitable[Removed]]


async def lock(connection: Connection, account_id: str, task_id: str) -> Deletable | None:
    """The task, its row locked. None: it does not exist, is deleted, or is not of this account."""
    row = await connection.fetchrow(_LOCK, task_id, account_id, COLLECTED_WITHIN, PARTIAL_OUTPUTS_WITHIN)
    if row is None:
        return None
    return Deletable(row["id"], row["account_id"], Status(row["status"]), row["is_collecting"])


async def mark(connection: Connection, task_ids: Sequence[str]) -> None:
    """Mark tasks and their output files as deleted: from now on nobody sees them."""
    await connection.execute(_MARK, list(task_ids))
    await connection.execute(_MARK_FILES, list(task_ids))


async def marked(pool: Pool, limit: int) -> list[str]:
    """Ids of tasks that are marked as deleted, whose rows must be removed."""
    return [row["id"] for row in await pool.fetch(_MARKED, limit)]


async def remove_tasks(connection: Connection, task_ids: Sequence[str]) -> None:
    """Remove the rows of marked tasks to which no other row refers any more, and batches with the last of their tasks.

    Raises:
        ForeignKeyViolationError: a row refers to one of them.
    """
    batch_ids = [row["id"] for row in await connection.fetch(_LOCK_BATCHES, list(task_ids))]
    await connection.execute(_TASKS, list(task_ids))
    if batch_ids:
        await connection.execute(_EMPTY_BATCHES, batch_ids)


def _rows_of(table: str) -> Step:
    """A step that removes the rows of a table by their column `task_id`."""
    query = (
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - the names are in STEPS
        f"SELECT ctid FROM {table} WHERE task_id = ANY($1::text[]) LIMIT $2))"
    )

    async def remove(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
        tag = await connection.execute(query, list(task_ids), limit)
        return Removed(int(tag.split()[-1]))

    return remove


def _references(query: str) -> Step:
    """A step that removes rows which name files, and with the last of these rows a file that was deleted before."""

    async def remove(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
        file_ids = [row["file_id"] for row in await connection.fetch(query, list(task_ids), limit)]
        await files.remove_unreferenced(connection, file_ids)
        return Removed(len(file_ids))

    return remove


async def _checkpoints(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
    rows = await connection.fetch(_CHECKPOINTS, list(task_ids), limit)
    keys = [row["blob_key"] for row in rows]
    await unowned.insert(connection, keys, NOW)
    return Removed(len(keys), keys)


async def _outputs(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
    """Remove output files, and what other tasks and messages that have ended say of them."""
    file_ids = [row["id"] for row in await connection.fetch(_OUTPUTS, list(task_ids), limit)]
    keys = await files.remove_with_references(connection, file_ids)
    await unowned.insert(connection, keys, NOW)
    return Removed(len(file_ids), keys)


async def _feed_entries(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
    return Removed(await feed.blank(connection, task_ids, limit))


async def _webhook_attempts(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
    return Removed(await webhook_deliveries.blank_answers(connection, task_ids, limit))


async def _webhook_deliveries(connection: Connection, task_ids: Sequence[str], limit: int) -> Removed:
    """Empty the deliveries to the account's endpoints, and remove those to the tasks' callback URLs."""
    removed = await webhook_deliveries.remove_of_callbacks(connection, task_ids, limit)
    return Removed(max(removed, await webhook_deliveries.blank(connection, task_ids, limit)))


STEPS: dict[str, Step] = {
    "feed_entries": _feed_entries,  # they stay, without their data
    "webhook_attempts": _webhook_attempts,
    "webhook_deliveries": _webhook_deliveries,
    "webhook_endpoints": _rows_of("webhook_endpoints"),
    "message_files": _references(_MESSAGE_FILES),
    "messages": _rows_of("messages"),
    "task_input_files": _references(_INPUTS),
    "wake_links": _rows_of("wake_links"),
    "idempotency_keys": _rows_of("idempotency_keys"),
    "checkpoints": _checkpoints,
    "files": _outputs,
    "events": _rows_of("events"),
}
