"""Where bytes live: the storage seam, over obstore. Keys are ours, never a client's or an agent's name."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import obstore
from obstore.exceptions import BaseError

from agentcontainer.domain.files.backends import CHUNK_BYTES, backend
from agentcontainer.errors import NotFound, PayloadTooLarge, Unavailable

__all__ = ["CHUNK_BYTES", "Blob", "Blobs", "Stored"]
logger = logging.getLogger(__name__)

PAGE = 500
# What one write may hold in memory: parts of the least size S3 takes, two on their way and one being filled.
PART_BYTES = 5 * 1024 * 1024
PARTS_ON_THEIR_WAY = 2


@dataclass(frozen=True)
class Blob:
    """What was stored."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Stored:
    """What the store says of a blob."""

    key: str
    size_bytes: int
    modified_at: datetime
    content_type: str | None = None


class Blobs:
    """One object store. Every method raises `Unavailable` when the store cannot be reached."""

    def __init__(self, storage_url: str) -> None:
        self._backend = backend(storage_url)
        self._store = self._backend.store

    @property
    def max_put_bytes(self) -> int | None:
        """The most that a client may send to the store itself; None: all bytes come through us."""
        return self._backend.max_put_bytes

    async def put(self, key: str, chunks: AsyncIterator[bytes], max_bytes: int) -> Blob:
        """Stream `chunks` to `key`; readers see all of it or nothing.

        Raises:
            PayloadTooLarge: more than `max_bytes` came; nothing is stored.
        """
        digest = hashlib.sha256()
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise PayloadTooLarge(f"There are more than the {max_bytes} bytes allowed.")
                digest.update(chunk)
                yield chunk

        try:
            await obstore.put_async(
                self._store, key, counted(), chunk_size=PART_BYTES, max_concurrency=PARTS_ON_THEIR_WAY
            )
        except (FileNotFoundError, BaseError) as error:  # not found: the bucket
            logger.error("storing a blob failed: %s", error)
            raise Unavailable("The object store did not take the file; try again.") from error
        return Blob(key, size, digest.hexdigest())

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes of `key` from `start` up to `end`, in chunks.

        Raises:
            NotFound: there is no such blob.
        """
        with _explained():
            async for chunk in self._backend.read(key, start, end):
                yield chunk

    async def head(self, key: str) -> Stored:
        """What is known of `key` without reading it.

        Raises:
            NotFound: there is no such blob.
        """
        with _explained():
            result = await obstore.get_async(self._store, key, options={"head": True})
            meta = result.meta
            content_type = result.attributes.get("Content-Type")
            return Stored(key, meta["size"], meta["last_modified"], content_type)

    async def digest(self, key: str) -> Blob:
        """Read `key` through once.

        Raises:
            NotFound: there is no such blob.
        """
        digest = hashlib.sha256()
        size = 0
        async for chunk in self.stream(key):
            await asyncio.to_thread(digest.update, chunk)
            size += len(chunk)
        return Blob(key, size, digest.hexdigest())

    async def copy(self, source: str, target: str) -> None:
        """Copy a blob within the store.

        Raises:
            NotFound: there is no such blob.
        """
        with _explained():
            await obstore.copy_async(self._store, source, target)

    async def delete(self, key: str) -> None:
        """Remove `key`; fine when it is not there."""
        try:
            with _explained():
                await obstore.delete_async(self._store, key)
        except NotFound:
            return

    async def pages(self, prefix: str) -> AsyncGenerator[list[Stored]]:
        """Every blob below `prefix`, in bounded pages and no certain order."""
        with _explained():
            async for page in obstore.list(self._store, prefix, chunk_size=PAGE):  # pyright: ignore[reportUnknownMemberType] (arrow)
                yield [Stored(entry["path"], entry["size"], entry["last_modified"]) for entry in page]

    async def signed_put(self, key: str, life: timedelta) -> str | None:
        """A URL that takes a PUT of `key` that long; None: the store has none, the bytes come through us."""
        with _explained():
            return await self._backend.signed_put(key, life)

    async def staged(self, older_than: timedelta) -> list[str]:
        """Where writes that broke off that long ago left something."""
        return await asyncio.to_thread(self._backend.staged, older_than)

    async def remove_staged(self, older_than: timedelta) -> int:
        """Remove what writes that broke off that long ago left; returns how many."""
        return await asyncio.to_thread(self._backend.remove_staged, older_than)


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound("The file's bytes are gone from the object store.") from None
    except BaseError as error:
        logger.error("the object store failed: %s", error)
        raise Unavailable("The object store cannot be reached; try again.") from error
