"""SQL on `unowned_blobs`: the keys of blobs that no row names, because they are being written or their row is gone.

A key is inserted before its blob is written, or in the transaction that removes the blob's row. So a crash at any
moment leaves no blob that only a listing of the whole store would find.
"""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer.db import Connection, Pool

WRITTEN_WITHIN = timedelta(hours=24)  # no write of a blob takes longer

_INSERT = """
INSERT INTO unowned_blobs (key, due_at) SELECT key, now() + $2::interval FROM unnest($1::text[]) AS key
ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at
"""
_DUE = "SELECT key FROM unowned_blobs WHERE due_at < now() ORDER BY due_at LIMIT $1"


async def insert(connection: Connection | Pool, keys: Sequence[str], due_in: timedelta) -> None:
    """Record that no row names these blobs. `due_in`: how long until they are deleted, if that stays so."""
    if keys:
        await connection.execute(_INSERT, sorted(keys), due_in)


async def remove(connection: Connection | Pool, keys: Sequence[str]) -> None:
    """Record that these blobs are deleted, or that a row names them now."""
    if keys:
        await connection.execute("DELETE FROM unowned_blobs WHERE key = ANY($1::text[])", sorted(keys))


async def writing(connection: Connection | Pool, key: str) -> None:
    """Record that a blob is going to be written. Call it before the first byte."""
    await connection.execute(_INSERT, [key], WRITTEN_WITHIN)


async def due(pool: Pool, limit: int) -> list[str]:
    """The keys whose time has come, the longest due first."""
    return [row["key"] for row in await pool.fetch(_DUE, limit)]
