"""Where bytes live: the storage seam, over obstore. Keys are ours, never a client's or an agent's name."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from agentcontainer.errors import NotFound, PayloadTooLarge, Unavailable

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """What was stored."""

    key: str
    size_bytes: int
    sha256: str


class Blobs:
    """One object store. Every method raises `Unavailable` when the store cannot be reached."""

    def __init__(self, storage_url: str) -> None:
        path = Path(unquote(urlsplit(storage_url).path))
        path.mkdir(parents=True, exist_ok=True)
        self._store = LocalStore(path, automatic_cleanup=True)

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
            await obstore.put_async(self._store, key, counted())
        except BaseError as error:
            raise Unavailable("The object store did not take the file; try again.") from error
        return Blob(key, size, digest.hexdigest())

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of `key`, in chunks.

        Raises:
            NotFound: there is no such blob.
        """
        try:
            result = await obstore.get_async(self._store, key)
            async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except FileNotFoundError:
            raise NotFound("The file's bytes are gone from the object store.") from None
        except BaseError as error:
            raise Unavailable("The object store cannot be read; try again.") from error

    async def delete(self, key: str) -> None:
        """Remove `key`; fine when it is not there."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise Unavailable("The object store cannot be reached; try again.") from error
