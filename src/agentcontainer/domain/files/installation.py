"""Ties an object store to its database: the blob `installation` contains the id of the database."""

import logging
from collections.abc import AsyncIterator

from agentcontainer.db import Pool
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import NotFound

INSTALLATION_ID_KEY = "installation"  # a blob
_OLDEST = """
(SELECT blob_key FROM files WHERE deleted_at IS NULL ORDER BY id LIMIT 10)
UNION ALL (SELECT c.blob_key FROM checkpoints c JOIN tasks t ON t.checkpoint_id = c.id ORDER BY c.id LIMIT 10)
"""

logger = logging.getLogger(__name__)


async def has_our_installation_id(pool: Pool, blobs: Blobs) -> bool | None:
    """Whether the store's installation id is this database's; None: the store has no installation id."""
    our_id = await _our_id(pool)
    try:
        return b"".join([chunk async for chunk in blobs.stream(INSTALLATION_ID_KEY)]) == our_id
    except NotFound:
        return None


async def may_clean_up(pool: Pool, blobs: Blobs) -> bool:
    """Whether the store belongs to this database. A store without an installation id gets ours, if it has our files.

    Otherwise a wrong setting, or a new database with an old store, would make every blob look unused, and a store that
    is not mounted would make every file look lost.
    """
    is_ours = await has_our_installation_id(pool, blobs)
    if is_ours is None and not await has_our_files(pool, blobs):
        logger.error(
            "not cleaning up: the object store has none of this database's files. Is AGENTCONTAINER_STORAGE_URL right, "
            "and is the store mounted?"
        )
        return False
    if is_ours is None:
        our_id = await _our_id(pool)
        await blobs.put(INSTALLATION_ID_KEY, _chunk(our_id), len(our_id))
        return True
    if not is_ours:
        logger.error(
            "not cleaning up: the object store belongs to another database; see its blob `%s`",
            INSTALLATION_ID_KEY,
        )
    return is_ours


async def _our_id(pool: Pool) -> bytes:
    installation_id: str = await pool.fetchval("SELECT id FROM installation")
    return installation_id.encode()


async def has_our_files(pool: Pool, blobs: Blobs) -> bool:
    """Whether the store has any of the database's oldest files and checkpoints, or the database has none."""
    keys = [row["blob_key"] for row in await pool.fetch(_OLDEST)]
    for key in keys:
        try:
            await blobs.head(key)
        except NotFound:
            continue
        return True
    return not keys


async def _chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content
