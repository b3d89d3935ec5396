"""The server side of a sandbox's sockets: a provider that records every byte, and a plain pipe to it for controls."""

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
    """Answers every request with `status`; `received` holds all bytes that reached it.

    With `echoes_key` it returns the request's key in a header, and split over two chunks of the body.
    """

    def __init__(self, echoes_key: bool = False, status: int = 200) -> None:
        self.received = bytearray()
        self.url = ""
        self.port = 0
        self._echoes_key = echoes_key
        self._status = status

    async def start(self, trial: Trial) -> None:
        """Listen until the trial ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_BYTES)
        trial.stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._handle(reader, writer):
                    pass
        finally:
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request; returns whether another may follow."""
        head = await self._record(reader.readuntil(b"\r\n\r\n"))
        if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
            left = int(length[1])
            while left > 0:
                left -= len(await self._record(_some(reader, min(left, 2**16))))
        elif b"chunked" in head.lower():
            await self._record(reader.readuntil(b"0\r\n\r\n"))
        key = re.search(rb"(?i)\r\nx-api-key: *(\S+)", head)
        for piece in _answer(self._status, key[1] if key and self._echoes_key else b""):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        return b"connection: close" not in head.lower()

    async def _record(self, reading: Awaitable[bytes]) -> bytes:
        data = await reading
        self.received += data
        return data


async def _some(reader: asyncio.StreamReader, limit: int) -> bytes:
    if not (data := await reader.read(limit)):
        raise asyncio.IncompleteReadError(b"", None)
    return data


def _answer(status: int, key: bytes) -> list[bytes]:
    body = b'{"type":"message","told":"' + key + b'"}'
    head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nx-request-id: ".encode()
    head += (key or b"none") + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    middle = len(body) - len(key) // 2 - 2
    return [head, body[:middle], body[middle:]]


async def pipe(trial: Trial, path: Path, port: int, key: str = "") -> None:
    """Serve a plain pipe in place of a gateway: it passes everything on, and adds the key to the first request."""

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
