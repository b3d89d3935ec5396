"""Removes from the object store what abandoned uploads and crashes leave.

Any number of processes may call it; an advisory lock lets one at a time do it.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.files import unowned
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import may_clean_up
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.periodic import repeat

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 900.0
MIN_AGE = timedelta(hours=1)  # younger blobs may still get their row, younger uploads may still be completed
PREFIXES = ("uploads", "outputs", "incoming", "checkpoints")
WHOLE_TABLE_SECONDS = 600.0  # for a statement that reads a whole table
_LOCK_ID = 0x61635F7377656570

_ABANDONED = """
DELETE FROM uploads WHERE id IN (
    SELECT id FROM uploads WHERE file_id IS NULL AND expires_at < now() - $1::interval
    ORDER BY expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
) RETURNING blob_key
"""
# Outputs of a live task may have no rows yet: these are inserted when the task ends.
_ORPHANS = """
SELECT key FROM unnest($1::text[]) AS key
WHERE NOT EXISTS (SELECT FROM files WHERE blob_key = key AND deleted_at IS NULL)
    AND NOT EXISTS (SELECT FROM uploads WHERE id = split_part(key, '/', 2) AND blob_key = key AND file_id IS NULL)
    AND NOT EXISTS (SELECT FROM checkpoints WHERE blob_key = key)
    AND NOT EXISTS (SELECT FROM tasks WHERE id = split_part(key, '/', 2)
                    AND status IN ('pending', 'running', 'awaiting_input', 'hibernating'))
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
    """Remove expired uploads, blobs without a row, and half-written blobs, all of them at least that old.

    Returns how many blobs were removed: 0 if another process is cleaning up, or the store belongs to another database.
    """
    async with _alone(pool) as is_alone:
        if not is_alone or not await may_clean_up(pool, blobs):
            return 0
        removed = await blobs.remove_staged(min_age)
        crash.reach("clean_up")
        while abandoned := await pool.fetch(_ABANDONED, min_age):
            keys = [row["blob_key"] for row in abandoned if row["blob_key"]]
            removed += await _delete(blobs, keys)
        async for keys in orphans(pool, blobs, min_age):
            removed += await _delete(blobs, keys)
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
    if keys:
        await unowned.remove(pool, keys)


async def _delete(blobs: Blobs, keys: list[str]) -> int:
    for key in keys:
        await blobs.delete(key)
    return len(keys)


@asynccontextmanager
async def _alone(pool: Pool) -> AsyncGenerator[bool]:
    """Yield whether no other process is cleaning up. If so, none can begin until the block ends."""
    async with pool.acquire() as connection:
        is_alone = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_ID)
        try:
            yield is_alone
        finally:
            if is_alone:
                await _unlock(connection)


async def _unlock(connection: Connection) -> None:
    try:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK_ID)
    except BaseException:
        connection.terminate()  # in the pool it would keep the lock for ever
        raise
