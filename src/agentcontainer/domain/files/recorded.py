"""Writes blobs whose key the database knows before their first byte, so that a crash leaves none that nobody finds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.files import unowned
from agentcontainer.domain.files.blobs import Blob, Blobs


@dataclass(frozen=True)
class RecordedBlobs:
    """An object store, and the database that records what is written to it."""

    pool: Pool
    blobs: Blobs

    async def put(self, key: str, chunks: AsyncIterator[bytes], max_bytes: int) -> Blob:
        """As `Blobs.put`. The clean-up deletes the blob after a day, unless a row names it by then."""
        await self._record(key)
        return await self.blobs.put(key, chunks, max_bytes)

    async def copy(self, source: str, target: str) -> None:
        """As `Blobs.copy`."""
        await self._record(target)
        await self.blobs.copy(source, target)

    async def delete(self, key: str) -> None:
        """As `Blobs.delete`."""
        await self.blobs.delete(key)

    async def _record(self, key: str) -> None:
        await db.retry_while_unavailable(lambda: unowned.writing(self.pool, key))
