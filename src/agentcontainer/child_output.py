"""Reads what an untrusted child process writes, and keeps a bounded part of it.

All but `read_start` read to the end: a child whose pipe is full would block.
"""

import asyncio

CHUNK_BYTES = 64 * 1024


async def read_start(stream: asyncio.StreamReader, max_bytes: int) -> bytes:
    """The first `max_bytes`, without waiting for the end of the stream once there are so many."""
    start = bytearray()
    while len(start) < max_bytes and (chunk := await stream.read(max_bytes - len(start))):
        start += chunk
    return bytes(start)


async def keep_start(stream: asyncio.StreamReader, max_bytes: int) -> bytes:
    """Read to the end of the stream; returns the first `max_bytes`."""
    start = bytearray()
    while chunk := await stream.read(CHUNK_BYTES):
        start += chunk[: max_bytes - len(start)]
    return bytes(start)


class Tail:
    """The last `max_bytes` of a stream, available while `read` is still running."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read to the end of the stream."""
        while chunk := await stream.read(CHUNK_BYTES):
            self.add(chunk)

    def add(self, chunk: bytes) -> None:
        """Append, and drop what is no longer among the last bytes."""
        self._kept += chunk
        del self._kept[: -self._max_bytes]

    @property
    def text(self) -> str:
        """What was kept so far; bytes that are not UTF-8 appear as U+FFFD."""
        return self._kept.decode(errors="replace")
