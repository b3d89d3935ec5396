"""Stores, reads and deletes blobs in the object store, through obstore.

Keys never contain names from clients or agents.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from agentcontainer.domain.files.backends import CHUNK_BYTES, backend
from agentcontainer.errors import NotFound, PayloadTooLarge, Unavailable
from agentcontainer.telemetry import metrics

__all__ = ["CHUNK_BYTES", "Blob", "Blobs", "Stored"]
logger = logging.getLogger(__name__)

PAGE = 500
# They bound the memory of one write: two parts are sent while one is filled. S3 accepts no smaller parts than these.
PART_BYTES = 5 * 1024 * 1024
MAX_PARTS_SENDING = 2
DISK_FULL_SIGNS = (
    "(os error 28)",
    "(os error 122)",
    "XMinioStorageFull",
    "InsufficientStorage",
)  # ENOSPC, EDQUOT, S3


class StoreRefused(Unavailable):
    """The object store refuses the credentials, or the bucket does not exist."""


@dataclass(frozen=True)
class Blob:
    """A blob, with its size and digest as they were counted while it was written or read."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Stored:
    """A blob as the object store describes it."""

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
        """The size of the largest blob that a client may send directly to the store; None: it must send to the API."""
        return self._backend.max_put_bytes

    async def put(self, key: str, chunks: AsyncIterator[bytes], max_bytes: int) -> Blob:
        """Write `chunks` to `key`. A reader sees the whole blob or none.

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
            with metrics.STORE_SECONDS.labels("put").time():
                await obstore.put_async(
                    self._store, key, counted(), chunk_size=PART_BYTES, max_concurrency=MAX_PARTS_SENDING
                )
        except (FileNotFoundError, BaseError) as error:  # not found: the bucket
            logger.error("storing a blob failed: %s", error)
            raise _unavailable(error, "The object store did not accept the file; try again.") from error
        return Blob(key, size, digest.hexdigest())

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes of `key` from `start` up to `end`, in chunks.

        Raises:
            NotFound: there is no such blob.
        """
        asked_at, is_first = time.perf_counter(), True
        with _explained():
            async for chunk in self._backend.read(key, start, end):
                if is_first:
                    metrics.STORE_SECONDS.labels("get").observe(time.perf_counter() - asked_at)
                    is_first = False
                yield chunk

    async def head(self, key: str) -> Stored:
        """The size, time and type of `key`, without reading its bytes.

        Raises:
            NotFound: there is no such blob.
        """
        with _explained(), metrics.STORE_SECONDS.labels("head").time():
            result = await obstore.get_async(self._store, key, options={"head": True})
            meta = result.meta
            content_type = result.attributes.get("Content-Type")
            return Stored(key, meta["size"], meta["last_modified"], content_type)

    async def digest(self, key: str) -> Blob:
        """Read all of `key` and compute its size and digest.

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
        with _explained(), metrics.STORE_SECONDS.labels("copy").time():
            await obstore.copy_async(self._store, source, target)

    async def delete(self, key: str) -> None:
        """Remove `key`. Does nothing if there is no such blob."""
        try:
            with _explained(), metrics.STORE_SECONDS.labels("delete").time():
                await obstore.delete_async(self._store, key)
        except NotFound:
            pass
        await asyncio.to_thread(self._backend.remove_unfinished, key)

    async def pages(self, prefix: str) -> AsyncGenerator[list[Stored]]:
        """Every blob below `prefix`, in pages of at most `PAGE`, in no particular order."""
        with _explained():
            async for page in obstore.list(self._store, prefix, chunk_size=PAGE):  # pyright: ignore[reportUnknownMemberType] (arrow)
                yield [Stored(entry["path"], entry["size"], entry["last_modified"]) for entry in page]

    async def signed_put(self, key: str, life: timedelta) -> str | None:
        """A URL that accepts a PUT of `key` during `life`; None: the store has none, so clients send to the API."""
        with _explained():
            return await self._backend.signed_put(key, life)

    async def staged(self, older_than: timedelta) -> list[str]:
        """Paths of the files that writes left which were interrupted at least that long ago."""
        return await asyncio.to_thread(self._backend.staged, older_than)

    async def remove_staged(self, older_than: timedelta) -> int:
        """Remove the files that writes left which were interrupted at least that long ago; returns how many."""
        return await asyncio.to_thread(self._backend.remove_staged, older_than)


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound("The file's bytes are gone from the object store.") from None
    except BaseError as error:
        logger.error("the object store failed: %s", error)
        raise _unavailable(error, "The object store cannot be reached; try again.") from error


def _unavailable(error: Exception, sentence: str) -> Unavailable:
    """The error for the caller: what is full, if obstore's error says so, otherwise `sentence`."""
    if any(sign in str(error) for sign in DISK_FULL_SIGNS):
        return Unavailable("The object store's disk is full; try again later.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | FileNotFoundError):
        return StoreRefused(sentence)
    return Unavailable(sentence)
