"""Which database a store belongs to: the store bears that one's mark."""

import logging
from collections.abc import AsyncIterator

from agentcontainer.db import Pool
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import NotFound

INSTALLATION_ID_KEY = "installation"  # a blob
_OLDEST = """
(SELECT blob_key FROM files WHERE deleted_at IS NULL ORDER BY created_at LIMIT 10)
UNION ALL (SELECT c.blob_key FROM checkpoints c JOIN tasks t ON t.checkpoint_id = c.id ORDER BY c.created_at LIMIT 10)
"""

logger = logging.getLogger(__name__)


async def has_our_installation_id(pool: Pool, blobs: Blobs) -> bool | None:
    """Whether the store bears this database's mark; None: it bears none."""
    ours: str = await pool.fetchval("SELECT id FROM installation")
    try:
        return b"".join([chunk async for chunk in blobs.stream(INSTALLATION_ID_KEY)]) == ours.encode()
    except NotFound:
        return None


async def may_clean_up(pool: Pool, blobs: Blobs) -> bool:
    """Whether the store bears this database's mark. One without any gets it, if it holds what the database says.

    A wrong setting, or a new database on an old store, would make every blob an orphan; a store that is not mounted
    would make every file a lost one.
    """
    is_marked = await has_our_installation_id(pool, blobs)
    if is_marked is None and not await _holds_its_files(pool, blobs):
        logger.error(
            "not sweeping: the object store has none of this database's files; is it the right one, and mounted?"
        )
        return False
    if is_marked is None:
        ours: str = await pool.fetchval("SELECT id FROM installation")
        await blobs.put(INSTALLATION_ID_KEY, _chunk(ours.encode()), len(ours))
        return True
    if not is_marked:
        logger.error(
            "not sweeping: the object store belongs to another database; see its blob `%s`",
            INSTALLATION_ID_KEY,
        )
    return is_marked


async def _holds_its_files(pool: Pool, blobs: Blobs) -> bool:
    """Whether it holds any of those that it has had longest, if there are any."""
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
