"""Raw HTTP bytes over a Unix socket, for clients that violate the protocol."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import psutil

MIB = 1024**2
PATIENCE_SECONDS = 30
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{1,3})[ \r]")


def request(
    path: bytes, *headers: bytes, body: bytes = b"", method: bytes = b"POST", host: bytes = b"Host: x"
) -> bytes:
    """A request with a body of declared length."""
    lines = [b"%s %s HTTP/1.1" % (method, path), host, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def undeclared(path: bytes, *headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """A request whose body length is declared by `headers` only, rightly or wrongly."""
    lines = [b"POST %s %s" % (path, version), b"Host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n0\r\n%s\r\n" % (len(body), extension, body, trailer)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(answers)]


async def exchange(socket: Path, data: bytes, answers: int) -> bytes:
    """The bytes received until `answers` responses have begun or the server has closed the connection."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    sending = asyncio.create_task(send(writer, data))
    received = b""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                while len(statuses(received)) < answers and (more := await reader.read(65536)):
                    received += more
    finally:
        sending.cancel()
        writer.close()
    return received


def memory_bytes() -> int:
    return psutil.Process().memory_info().rss


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send as much as the server accepts."""
    with suppress(ConnectionError):
        for start in range(0, len(data), 65536):
            writer.write(data[start : start + 65536])
            await writer.drain()
