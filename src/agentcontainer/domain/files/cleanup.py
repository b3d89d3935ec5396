"""What uploads and crashes leave in the store. Any number of processes may run it; one at a time does."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import may_clean_up
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.periodic import repeat

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 900.0
MIN_AGE = timedelta(hours=1)  # younger blobs may still get their row, younger uploads may still be completed
PREFIXES = ("uploads", "outputs", "incoming", "checkpoints")
LOOK_SECONDS = 600.0  # for a statement that reads a whole table
_LOCK_ID = 0x61635F7377656570

_ABANDONED = """
DELETE FROM uploads WHERE id IN (
    SELECT id FROM uploads WHERE file_id IS NULL AND expires_at < now() - $1::interval
    ORDER BY expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
) RETURNING blob_key
"""
# A live task may hold outputs that it has not declared finished yet: their rows come with its end.
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
    """Remove uploads that expired uncompleted, blobs without a row, and half-written blobs, each that old at least.

    Returns how many blobs went; 0 at once when another process is sweeping, or the store is another database's.
    """
    async with _alone(pool) as is_alone:
        if not is_alone or not await may_clean_up(pool, blobs):
            return 0
        removed = await blobs.remove_staged(min_age)
        crash.reach("sweep")
        while abandoned := await pool.fetch(_ABANDONED, min_age):
            keys = [row["blob_key"] for row in abandoned if row["blob_key"]]
            removed += await _delete(blobs, keys)
        async for keys in orphans(pool, blobs, min_age):
            removed += await _delete(blobs, keys)
        return removed


async def orphans(pool: Pool, blobs: Blobs, min_age: timedelta) -> AsyncGenerator[list[str]]:
    """Keys of blobs without a row, that old at least, in pages. For a store that is the database's own."""
    for prefix in PREFIXES:
        async for page in blobs.pages(prefix):
            old = [blob.key for blob in page if blob.modified_at < datetime.now(UTC) - min_age]
            found = await pool.fetch(_ORPHANS, old) if old else []
            if found:
                yield [row["key"] for row in found]


async def remove_orphan(pool: Pool, blobs: Blobs, key: str) -> None:
    """Remove one of them, if it is one still."""
    if await pool.fetch(_ORPHANS, [key]):
        await blobs.delete(key)


async def lost(pool: Pool, blobs: Blobs) -> AsyncGenerator[tuple[str, str]]:
    """(id of a file or checkpoint that somebody may want, key of its blob), for each whose blob is gone."""
    async with pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE IF NOT EXISTS stored_keys (key text)")
        await connection.execute("TRUNCATE stored_keys")
        for prefix in PREFIXES:
            async for page in blobs.pages(prefix):
                await connection.copy_records_to_table("stored_keys", records=[(blob.key,) for blob in page])
        await connection.execute("ANALYZE stored_keys")
        for row in await connection.fetch(_LOST, None, timeout=LOOK_SECONDS):
            try:
                await blobs.head(row["key"])  # it may have come after the list was made
            except NotFound:
                if await connection.fetch(_LOST, row["id"]):
                    yield row["id"], row["key"]
        await connection.execute("DROP TABLE stored_keys")


async def clean_up_forever(pool: Pool, blobs: Blobs) -> None:
    """Sweep every few minutes, whether database and store answer or not, until cancelled."""

    async def once() -> None:
        if removed := await clean_up(pool, blobs):
            logger.info("removed %d unused blobs", removed)

    expected = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing unused blobs", once, INTERVAL_SECONDS, expected)


async def _delete(blobs: Blobs, keys: list[str]) -> int:
    for key in keys:
        await blobs.delete(key)
    return len(keys)


@asynccontextmanager
async def _alone(pool: Pool) -> AsyncGenerator[bool]:
    """Whether no other process sweeps; none begins until this is left, or this connection breaks."""
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
        connection.terminate()  # back in the pool it would hold the lock for ever
        raise
