"""The other end of a sandbox's sockets: a provider that notes every byte, and the plain pipe that leads to it."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from agentcontainer.prove.targets import listen
from agentcontainer.prove.trial import Trial

MAX_BYTES = 64 * 1024**2
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Provider:
    """Answers every request that it can read, with `status`; `heard` is all that ever reached it. With `is_indiscreet`
    it tells the key it was asked with, in a header and, in pieces, in its answer."""

    def __init__(self, is_indiscreet: bool = False, status: int = 200) -> None:
        self.heard = bytearray()
        self.url = ""
        self.port = 0
        self._is_indiscreet = is_indiscreet
        self._status = status

    async def start(self, trial: Trial) -> None:
        """Listens until the trial ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_BYTES)
        trial.stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether there may be another."""
        head = await self._note(reader.readuntil(b"\r\n\r\n"))
        if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
            left = int(length[1])
            while left > 0:
                left -= len(await self._note(_some(reader, min(left, 2**16))))
        elif b"chunked" in head.lower():
            await self._note(reader.readuntil(b"0\r\n\r\n"))
        key = re.search(rb"(?i)\r\nx-api-key: *(\S+)", head)
        for piece in _answer(self._status, key[1] if key and self._is_indiscreet else b""):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        return b"connection: close" not in head.lower()

    async def _note(self, reading: Awaitable[bytes]) -> bytes:
        got = await reading
        self.heard += got
        return got


async def _some(reader: asyncio.StreamReader, most: int) -> bytes:
    if not (got := await reader.read(most)):
        raise asyncio.IncompleteReadError(b"", None)
    return got


def _answer(status: int, key: bytes) -> list[bytes]:
    body = b'{"type":"message","told":"' + key + b'"}'
    head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nx-request-id: ".encode()
    head += (key or b"none") + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    middle = len(body) - len(key) // 2 - 2
    return [head, body[:middle], body[middle:]]


async def pipe(trial: Trial, path: Path, port: int, key: str = "") -> None:
    """What stands in a gateway's place for a control: everything goes through, and the key with each beginning."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection("127.0.0.1", port)
        first = await reader.read(2**16)
        if key:
            first = first.replace(b"\r\n", f"\r\nx-api-key: {key}\r\n".encode(), 1)
        outward.write(first)
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, outward), _copy(onward, writer))
        for end in (writer, outward):
            end.close()

    await listen(trial, path, serve)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(2**16):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
