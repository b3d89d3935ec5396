"""SQL on `checkpoints`."""

from collections.abc import AsyncGenerator
from datetime import timedelta

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.checkpoints.model import Checkpoint, CheckpointBlob

# For this long after a task's end its partial outputs may still be taken from its checkpoint.
PARTIAL_OUTPUTS_WITHIN = timedelta(hours=24)
PAGE_ROWS = 1000

_INSERT = "INSERT INTO checkpoints (id, task_id, blob_key) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
_SET_STORED = "UPDATE checkpoints SET size_bytes = $2, sha256 = $3, unpacked_bytes = $4 WHERE id = $1"
_CURRENT = "SELECT c.* FROM tasks t JOIN checkpoints c ON c.id = t.checkpoint_id WHERE t.id = $1"
_USED = """
SELECT coalesce(sum(c.size_bytes), 0)::bigint FROM tasks t JOIN checkpoints c ON c.id = t.checkpoint_id
WHERE t.account_id = $1 AND t.status NOT IN ('finished', 'failed', 'cancelled', 'expired') AND t.id <> $2
"""
# Older ones only: another attempt may be about to use a newer one.
_SUPERSEDED = """
SELECT c.id, c.blob_key FROM checkpoints c JOIN tasks t ON t.id = c.task_id
WHERE c.task_id = $1 AND c.id IS DISTINCT FROM t.checkpoint_id AND c.created_at < (
    SELECT created_at FROM checkpoints WHERE id = t.checkpoint_id
)
"""
# The newest of a running task gets a day: writing a large one takes long, and it becomes current only afterwards.
_PAGE = """
SELECT c.id, c.blob_key, c.created_at < now() - CASE
        WHEN t.status = 'running' AND c.created_at > coalesce(used.created_at, '-infinity') THEN interval '1 day'
        ELSE $1 END
    AND (c.id IS DISTINCT FROM t.checkpoint_id OR t.status = 'finished'
        OR t.status IN ('failed', 'cancelled', 'expired')
            AND (t.remains_at IS NOT NULL OR t.completed_at < now() - $2::interval)) AS is_unused
FROM (SELECT * FROM checkpoints WHERE id > $3 ORDER BY id LIMIT $4) AS c
    JOIN tasks t ON t.id = c.task_id LEFT JOIN checkpoints used ON used.id = t.checkpoint_id
ORDER BY c.id
"""
_DELETE = """
WITH ended AS (
    UPDATE tasks SET checkpoint_id = NULL
    WHERE checkpoint_id = $1 AND status IN ('finished', 'failed', 'cancelled', 'expired')
)
, deleted AS (
    DELETE FROM checkpoints WHERE id = $1 AND NOT EXISTS (
        SELECT FROM tasks WHERE checkpoint_id = $1 AND status NOT IN ('finished', 'failed', 'cancelled', 'expired')
    ) RETURNING blob_key
)
INSERT INTO unowned_blobs (key, due_at) SELECT blob_key, now() FROM deleted
ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at RETURNING true
"""


async def insert(pool: Pool, task_id: str, blob: CheckpointBlob) -> None:
    """Insert the row of a checkpoint whose blob is written next. Idempotent."""
    await pool.execute(_INSERT, blob.id, task_id, blob.key)


async def set_stored(pool: Connection | Pool, checkpoint: Checkpoint) -> None:
    """Record that the checkpoint's blob is complete."""
    await pool.execute(
        _SET_STORED, checkpoint.id, checkpoint.size_bytes, checkpoint.sha256, checkpoint.unpacked_bytes
    )


async def get_current(pool: Pool, task_id: str) -> Checkpoint | None:
    """The checkpoint that the task's next container starts from. None: it starts from the task's inputs."""
    row = await pool.fetchrow(_CURRENT, task_id)
    return Checkpoint(**{name: row[name] for name in Checkpoint.__dataclass_fields__}) if row else None


async def used_bytes(pool: Connection | Pool, account_id: str, except_task: str = "") -> int:
    """The size of the current checkpoints of the account's live tasks, without that of `except_task`."""
    return await pool.fetchval(_USED, account_id, except_task)


async def superseded(pool: Pool, task_id: str) -> list[CheckpointBlob]:
    """The task's checkpoints that are older than its current one."""
    return [CheckpointBlob(row["id"], row["blob_key"]) for row in await pool.fetch(_SUPERSEDED, task_id)]


async def unused(pool: Pool, min_age: timedelta) -> AsyncGenerator[CheckpointBlob]:
    """Checkpoints at least that old that no task will start from any more. Reads all, a page at a time."""
    last = ""
    while rows := await pool.fetch(_PAGE, min_age, PARTIAL_OUTPUTS_WITHIN, last, PAGE_ROWS):
        for row in rows:
            if row["is_unused"]:
                yield CheckpointBlob(row["id"], row["blob_key"])
        last = rows[-1]["id"]


async def delete(pool: Pool, checkpoint_id: str) -> bool:
    """Delete the row, and record that its blob has none. False: a live task starts from this checkpoint."""
    return bool(await pool.fetchval(_DELETE, checkpoint_id))
