"""Creates checkpoints, checks the quota for them, and deletes those that are not used any more.

The row is inserted before the blob is written, so that a crash leaves no blob that nobody finds.
`tasks.checkpoint_id` names the checkpoint that the next container starts from; all others of a task are unused.
"""

import logging
from datetime import timedelta

import asyncpg

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.checkpoints import store
from agentcontainer.domain.checkpoints.model import CheckpointBlob
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.errors import Unavailable
from agentcontainer.ids import new_id
from agentcontainer.periodic import repeat
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0
MIN_AGE = timedelta(minutes=10)  # a younger one may still be written


async def create(pool: Pool, task_id: str, checkpoint_id: str | None = None) -> CheckpointBlob:
    """Insert a checkpoint whose blob is written next. Idempotent for one `checkpoint_id`."""
    checkpoint_id = checkpoint_id or new_id("ckp")
    blob = CheckpointBlob(checkpoint_id, f"checkpoints/{task_id}/{checkpoint_id}")
    await store.insert(pool, task_id, blob)
    return blob


async def quota_fault(
    pool: Connection | Pool, settings: Settings, task_id: str, size_bytes: int
) -> str | None:
    """Why a checkpoint of this size may not replace the task's current one. None: it may.

    Nothing is reserved, so several that are saved at once can exceed the quota together.
    """
    quota = settings.checkpoint_quota_bytes
    if not quota:
        return None
    account_id = await pool.fetchval("SELECT account_id FROM tasks WHERE id = $1", task_id)
    left = max(0, quota - await store.used_bytes(pool, account_id, task_id))
    if size_bytes <= left:
        return None
    return (
        f"it takes {size_bytes} bytes when saved, but of the account's {quota} bytes for all of its tasks "
        f"(checkpointStorage.quotaBytes) only {left} are left; delete what is not needed any more"
    )


async def delete_superseded(pool: Pool, blobs: Blobs, task_id: str) -> None:
    """Delete the checkpoints that the task's current one replaced. What fails is left to `clean_up`."""
    try:
        for blob in await store.superseded(pool, task_id):
            await _delete(pool, blobs, blob)
    except Unavailable:
        logger.warning("old checkpoints of %s will be deleted later", task_id)


async def clean_up(pool: Pool, blobs: Blobs, min_age: timedelta) -> int:
    """Delete unused checkpoints that are at least that old; returns how many."""
    deleted = 0
    async for blob in store.unused(pool, min_age):
        await _delete(pool, blobs, blob)
        deleted += 1
    return deleted


async def clean_up_forever(pool: Pool, blobs: Blobs) -> None:
    """Call `clean_up` every few minutes until cancelled."""

    async def once() -> None:
        if deleted := await clean_up(pool, blobs, MIN_AGE):
            logger.info("removed %d unused checkpoints", deleted)

    expected = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing unused checkpoints", once, INTERVAL_SECONDS, expected)


async def _delete(pool: Pool, blobs: Blobs, blob: CheckpointBlob) -> None:
    if await store.delete(pool, blob.id):
        await delete_unowned(pool, blobs, [blob.key])
