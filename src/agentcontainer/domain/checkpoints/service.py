"""Checkpoints as the database knows them: the state of a workspace that a container can start from.

The row is there before the blob, so that whatever a crash leaves is found. `tasks.checkpoint_id` names the one that
counts; all others of a task are left over.
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
)  # after a task's end its partial outputs may still be taken from one
MIN_AGE = timedelta(minutes=10)  # a younger one may still be written

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
# The newest of a running task may still be written, or be about to count: large ones take long.
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
# Never one that a live task starts from. The row goes first: a blob without one is swept.
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
    """(id, blob key) of a checkpoint about to be written."""
    checkpoint_id = new_id("ckp")
    key = f"checkpoints/{task_id}/{checkpoint_id}"
    await pool.execute(_INSERT, checkpoint_id, task_id, key)
    return checkpoint_id, key


async def set_stored(pool: Connection | Pool, checkpoint: Checkpoint) -> None:
    """Its blob is whole."""
    values = (checkpoint.size_bytes, checkpoint.sha256, checkpoint.unpacked_bytes)
    await pool.execute(_STORED, checkpoint.id, *values)


async def get_current(pool: Pool, task_id: str) -> Checkpoint | None:
    """What the task's next container starts from; None: from its inputs."""
    row = await pool.fetchrow(_CURRENT, task_id)
    return Checkpoint(**{name: row[name] for name in Checkpoint.__dataclass_fields__}) if row else None


async def used_bytes(pool: Connection | Pool, account_id: str, but_task: str = "") -> int:
    """The bytes that the account's live tasks would start from, without those of `but_task`."""
    return await pool.fetchval(_USED, account_id, but_task)


async def quota_fault(
    pool: Connection | Pool, settings: Settings, task_id: str, size_bytes: int
) -> str | None:
    """Why the task may not keep a checkpoint of this size in place of the one it has; None: it may.

    Nothing is reserved: several that are saved at once can pass the quota together.
    """
    quota = settings.checkpoint_quota_bytes
    if not quota:
        return None
    account_id = await pool.fetchval("SELECT account_id FROM tasks WHERE id = $1", task_id)
    left = max(0, quota - await used_bytes(pool, account_id, task_id))
    if size_bytes <= left:
        return None
    return (
        f"it takes {size_bytes} bytes when saved, but of the account's {quota} bytes for all of its tasks "
        f"(checkpointStorage.quotaBytes) only {left} are left; delete what is not needed any more"
    )


async def delete_superseded(pool: Pool, blobs: Blobs, task_id: str) -> None:
    """Drop what the task's checkpoint replaced. What cannot be dropped now, the sweep will."""
    try:
        for row in await pool.fetch(_OTHERS, task_id):
            await _drop(pool, blobs, row["id"], row["blob_key"])
    except Unavailable:
        logger.warning("old checkpoints of %s are left to the sweep", task_id)


async def unused(pool: Pool, min_age: timedelta) -> list[tuple[str, str]]:
    """(id, blob key) of what no task will start from any more, that old at least: the first hundreds."""
    return [
        (row["id"], row["blob_key"]) for row in await pool.fetch(_LEFT_OVER, min_age, PARTIAL_OUTPUTS_WITHIN)
    ]


async def clean_up(pool: Pool, blobs: Blobs, min_age: timedelta) -> int:
    """Drop what no task will start from any more, that old at least; returns how many."""
    swept = 0
    while rows := await pool.fetch(_LEFT_OVER, min_age, PARTIAL_OUTPUTS_WITHIN):
        for row in rows:
            await _drop(pool, blobs, row["id"], row["blob_key"])
        swept += len(rows)
    return swept


async def clean_up_forever(pool: Pool, blobs: Blobs) -> None:
    """Sweep every few minutes, whether database and store answer or not, until cancelled."""

    async def once() -> None:
        if swept := await clean_up(pool, blobs, MIN_AGE):
            logger.info("removed %d unused checkpoints", swept)

    expected = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing unused checkpoints", once, INTERVAL_SECONDS, expected)


async def _drop(pool: Pool, blobs: Blobs, checkpoint_id: str, blob_key: str) -> None:
    if await pool.fetchval(_FORGET, checkpoint_id):
        await blobs.delete(blob_key)
