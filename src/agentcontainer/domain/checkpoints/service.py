"""The rows of checkpoints: creates them, finds the one that a container starts from, and deletes the unused ones.

A row is inserted before its blob is written, so that the clean-up finds the blobs that a crash leaves.
`tasks.checkpoint_id` names a task's current checkpoint; the task's other checkpoints are unused.
"""

import logging
from datetime import timedelta

import asyncpg

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks.model import Checkpoint
from agentcontainer.errors import Unavailable
from agentcontainer.ids import new_id
from agentcontainer.periodic import repeat
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0
PARTIAL_OUTPUTS_WITHIN = timedelta(
    hours=24
)  # how long after a task's end partial outputs may still be taken from its checkpoint
MIN_AGE = timedelta(minutes=10)  # a younger checkpoint may still be written

_INSERT = "INSERT INTO checkpoints (id, task_id, blob_key) VALUES ($1, $2, $3)"
_STORED = "UPDATE checkpoints SET size_bytes = $2, sha256 = $3, unpacked_bytes = $4 WHERE id = $1"
_CURRENT = "SELECT c.* FROM tasks t JOIN checkpoints c ON c.id = t.checkpoint_id WHERE t.id = $1"
_USED = """
SELECT coalesce(sum(c.size_bytes), 0)::bigint FROM tasks t JOIN checkpoints c ON c.id = t.checkpoint_id
WHERE t.account_id = $1 AND t.status NOT IN ('finished', 'failed', 'cancelled', 'expired') AND t.id <> $2
"""
_OTHERS = """
SELECT c.id, c.blob_key FROM checkpoints c JOIN tasks t ON t.id = c.task_id
WHERE c.task_id = $1 AND c.id IS DISTINCT FROM t.checkpoint_id AND c.created_at < (
    SELECT created_at FROM checkpoints WHERE id = t.checkpoint_id  -- a later one may be another attempt's
)
"""
# The newest checkpoint of a running task may still be written, or become the current one soon: large ones take long.
_LEFT_OVER = """
SELECT c.id, c.blob_key FROM checkpoints c JOIN tasks t ON t.id = c.task_id
    LEFT JOIN checkpoints used ON used.id = t.checkpoint_id
WHERE c.created_at < now() - CASE
        WHEN t.status = 'running' AND c.created_at > coalesce(used.created_at, '-infinity') THEN interval '1 day'
        ELSE $1 END
    AND (c.id IS DISTINCT FROM t.checkpoint_id OR t.status = 'finished'
        OR t.status IN ('failed', 'cancelled', 'expired')
            AND (t.remains_at IS NOT NULL OR t.completed_at < now() - $2::interval))
LIMIT 500
"""
# Never the current checkpoint of a live task. The row is deleted first: the clean-up finds a blob without a row.
_FORGET = """
WITH gone AS (
    UPDATE tasks SET checkpoint_id = NULL
    WHERE checkpoint_id = $1 AND status IN ('finished', 'failed', 'cancelled', 'expired')
)
DELETE FROM checkpoints WHERE id = $1 AND NOT EXISTS (
    SELECT FROM tasks WHERE checkpoint_id = $1 AND status NOT IN ('finished', 'failed', 'cancelled', 'expired')
) RETURNING true
"""


async def create(pool: Pool, task_id: str) -> tuple[str, str]:
    """Insert a checkpoint whose blob is about to be written; returns (id, blob key)."""
    checkpoint_id = new_id("ckp")
    key = f"checkpoints/{task_id}/{checkpoint_id}"
    await pool.execute(_INSERT, checkpoint_id, task_id, key)
    return checkpoint_id, key


async def set_stored(pool: Connection | Pool, checkpoint: Checkpoint) -> None:
    """Record that the checkpoint's blob is completely stored."""
    values = (checkpoint.size_bytes, checkpoint.sha256, checkpoint.unpacked_bytes)
    await pool.execute(_STORED, checkpoint.id, *values)


async def get_current(pool: Pool, task_id: str) -> Checkpoint | None:
    """The checkpoint that the task's next container starts from; None: it starts from the task's inputs."""
    row = await pool.fetchrow(_CURRENT, task_id)
    return Checkpoint(**{name: row[name] for name in Checkpoint.__dataclass_fields__}) if row else None


async def used_bytes(pool: Connection | Pool, account_id: str, except_task: str = "") -> int:
    """The size of the current checkpoints of the account's live tasks, without that of `except_task`."""
    return await pool.fetchval(_USED, account_id, except_task)


async def quota_fault(
    pool: Connection | Pool, settings: Settings, task_id: str, size_bytes: int
) -> str | None:
    """Why a checkpoint of this size, in place of the task's current one, exceeds the account's quota; None: it fits.

    Nothing is reserved, so several checkpoints that are saved at the same time can exceed the quota together.
    """
    quota = settings.checkpoint_quota_bytes
    if not quota:
        return None
    account_id = await pool.fetchval("SELECT account_id FROM tasks WHERE id = $1", task_id)
    left = max(0, quota - await used_bytes(pool, account_id, task_id))
    if size_bytes <= left:
        return None
    return (
        f"saved, it has {size_bytes} bytes, but only {left} are left of the {quota} bytes that all tasks of the "
        "account may use (checkpointStorage.quotaBytes); delete files that are not needed any more"
    )


async def delete_superseded(pool: Pool, blobs: Blobs, task_id: str) -> None:
    """Delete the checkpoints that the task's current one replaced. If the store is unavailable, the clean-up will."""
    try:
        for row in await pool.fetch(_OTHERS, task_id):
            await _drop(pool, blobs, row["id"], row["blob_key"])
    except Unavailable:
        logger.warning("old checkpoints of %s will be removed by the clean-up", task_id)


async def unused(pool: Pool, min_age: timedelta) -> list[tuple[str, str]]:
    """(id, blob key) of checkpoints that no task will start from, at least that old: 500 at most."""
    return [
        (row["id"], row["blob_key"]) for row in await pool.fetch(_LEFT_OVER, min_age, PARTIAL_OUTPUTS_WITHIN)
    ]


async def clean_up(pool: Pool, blobs: Blobs, min_age: timedelta) -> int:
    """Delete the checkpoints that no task will start from, at least that old; returns how many."""
    removed = 0
    while rows := await pool.fetch(_LEFT_OVER, min_age, PARTIAL_OUTPUTS_WITHIN):
        for row in rows:
            await _drop(pool, blobs, row["id"], row["blob_key"])
        removed += len(rows)
    return removed


async def clean_up_forever(pool: Pool, blobs: Blobs) -> None:
    """Clean up every few minutes, also after failures, until cancelled."""

    async def once() -> None:
        if removed := await clean_up(pool, blobs, MIN_AGE):
            logger.info("removed %d unused checkpoints", removed)

    expected = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing unused checkpoints", once, INTERVAL_SECONDS, expected)


async def _drop(pool: Pool, blobs: Blobs, checkpoint_id: str, blob_key: str) -> None:
    if await pool.fetchval(_FORGET, checkpoint_id):
        await blobs.delete(blob_key)
