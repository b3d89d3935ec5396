"""Removes from the object store what abandoned uploads and crashes leave.

The clean-up goes by the database, which knows the key of every blob that is being written or has lost its row. The
doctor also lists the whole store.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from agentcontainer import crash, db
from agentcontainer.db import Pool
from agentcontainer.domain.files import unowned
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import may_clean_up
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.periodic import repeat

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
BATCH = 500
MIN_AGE = timedelta(hours=1)  # younger blobs may still get their row, younger uploads may still be completed
PREFIXES = ("uploads", "outputs", "incoming", "checkpoints")
WHOLE_TABLE_SECONDS = 600.0  # for a statement that reads a whole table

_ABANDONED = """
WITH abandoned AS (
    DELETE FROM uploads WHERE id IN (
        SELECT id FROM uploads WHERE file_id IS NULL AND expires_at < now() - $1::interval
        ORDER BY expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
    ) RETURNING blob_key
), unowned AS (
    INSERT INTO unowned_blobs (key, due_at) SELECT blob_key, now() FROM abandoned WHERE blob_key <> ''
    ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at
)
SELECT blob_key FROM abandoned
"""
# Outputs of a live task may have no rows yet: these are inserted when the task ends.
_ORPHANS = """
SELECT key FROM unnest($1::text[]) AS key
WHERE NOT EXISTS (SELECT FROM files WHERE blob_key = key AND deleted_at IS NULL)
    AND NOT EXISTS (SELECT FROM uploads WHERE id = split_part(key, '/', 2) AND blob_key = key AND file_id IS NULL)
    AND NOT EXISTS (SELECT FROM checkpoints WHERE blob_key = key)
    AND NOT EXISTS (SELECT FROM tasks WHERE id = split_part(key, '/', 2) AND key LIKE 'outputs/%'
                    AND status IN ('pending', 'running', 'awaiting_input', 'hibernating'))
"""
_OWNED = """
DELETE FROM unowned_blobs u WHERE key = ANY($1::text[]) AND (
    EXISTS (SELECT FROM files WHERE blob_key = u.key AND deleted_at IS NULL)
    OR EXISTS (SELECT FROM uploads WHERE id = split_part(u.key, '/', 2) AND blob_key = u.key AND file_id IS NULL)
    OR EXISTS (SELECT FROM checkpoints WHERE blob_key = u.key))
"""
_LOST = """
WITH wanted AS (
    SELECT id, blob_key AS key FROM files WHERE deleted_at IS NULL
    UNION ALL SELECT c.id, c.blob_key FROM checkpoints c JOIN tasks t ON t.checkpoint_id = c.id
        WHERE t.status IN ('pending', 'running', 'awaiting_input', 'hibernating')
)
SELECT id, key FROM wanted
WHERE ($1::text IS NULL OR id = $1) AND NOT EXISTS (SELECT FROM stored_keys WHERE stored_keys.key = wanted.key)
"""


async def clean_up(pool: Pool, blobs: Blobs, min_age: timedelta = MIN_AGE) -> int:
    """Remove uploads that expired at least that long ago, and blobs whose key is due in `unowned_blobs`; returns how
    many blobs were removed: 0 if the store belongs to another database.
    """
    if not await may_clean_up(pool, blobs):
        return 0
    removed = 0
    crash.reach("clean_up")
    while abandoned := await pool.fetch(_ABANDONED, min_age):
        keys = [row["blob_key"] for row in abandoned if row["blob_key"]]
        await delete_unowned(pool, blobs, keys)
        removed += len(keys)
    while due := await unowned.due(pool, BATCH):
        orphaned = {row["key"] for row in await pool.fetch(_ORPHANS, due)}
        await delete_unowned(pool, blobs, sorted(orphaned))
        removed += len(orphaned)
        # Outputs of a live task get their rows when it ends. Every other key has its row by now.
        await unowned.insert(pool, [key for key in due if key not in orphaned], unowned.WRITTEN_WITHIN)
        await pool.execute(_OWNED, due)
    return removed


async def orphans(pool: Pool, blobs: Blobs, min_age: timedelta) -> AsyncGenerator[list[str]]:
    """Keys of blobs without a row, at least that old, in pages. The store must belong to this database."""
    for prefix in PREFIXES:
        async for page in blobs.pages(prefix):
            old = [blob.key for blob in page if blob.modified_at < datetime.now(UTC) - min_age]
            rows = await pool.fetch(_ORPHANS, old) if old else []
            if rows:
                yield [row["key"] for row in rows]


async def remove_orphan(pool: Pool, blobs: Blobs, key: str) -> None:
    """Remove the blob if it still has no row."""
    if await pool.fetch(_ORPHANS, [key]):
        await blobs.delete(key)


async def lost(pool: Pool, blobs: Blobs) -> AsyncGenerator[tuple[str, str]]:
    """(id, blob key) of each file, and of each checkpoint that a live task starts from, whose blob is missing."""
    async with pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE IF NOT EXISTS stored_keys (key text)")
        await connection.execute("TRUNCATE stored_keys")
        for prefix in PREFIXES:
            async for page in blobs.pages(prefix):
                await connection.copy_records_to_table("stored_keys", records=[(blob.key,) for blob in page])
        await connection.execute("ANALYZE stored_keys")
        for row in await connection.fetch(_LOST, None, timeout=WHOLE_TABLE_SECONDS):
            try:
                await blobs.head(row["key"])  # it may have been written after the blobs were listed
            except NotFound:
                if await connection.fetch(_LOST, row["id"]):
                    yield row["id"], row["key"]
        await connection.execute("DROP TABLE stored_keys")


async def clean_up_forever(pool: Pool, blobs: Blobs) -> None:
    """Clean up every few minutes, also after failures, until cancelled."""

    async def once() -> None:
        if removed := await clean_up(pool, blobs):
            logger.info("removed %d unused blobs", removed)

    expected = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing unused blobs", once, INTERVAL_SECONDS, expected)


async def delete_unowned(pool: Pool, blobs: Blobs, keys: Sequence[str]) -> None:
    """Delete blobs whose row was removed, and whose keys are in `unowned_blobs`."""
    for key in keys:
        await blobs.delete(key)
    await unowned.remove(pool, keys)
