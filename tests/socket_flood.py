"""Attacks a sandbox socket from a process of its own: `python -m tests.socket_flood SOCKET PATH NUMBER`.

It opens so many connections, each sending what it can of one of `worst` and reading nothing, says that it
is done, and keeps them until its stdin ends.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from tests.raw_http import MIB, PATIENCE_SECONDS, request, send, undeclared

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def worst(path: bytes) -> list[bytes]:
    chunks = b"Transfer-Encoding: chunked"
    start = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n"
    return [
        b"",
        b"POST",
        start + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(200)),
        start + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4000) for number in range(60)),
        undeclared(path, b"Content-Length: 9223372036854775807", body=b'{"a":"' + b"x" * 100_000),
        undeclared(path, chunks, body=b"1\r\nx\r\n" * 100_000),
        undeclared(b"/nowhere", chunks, body=b"10000\r\n" + b"x" * 65536),
        request(b"/nowhere") * 20_000,
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 2 * MIB,
        request(path, b"Connection: Upgrade", b"Upgrade: x") + b"x" * 2 * MIB,
        b"\r\n" * MIB,
        b"\0" * MIB,
    ]


@asynccontextmanager
async def flood(socket: Path, connections: int, kinds: list[bytes]) -> AsyncIterator[None]:
    """Keep the connections open during the block, which starts once all were attempted."""
    opened: list[Connection] = []
    sending: list[asyncio.Task[None]] = []
    try:
        for number in range(connections):
            with suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(socket), limit=1024)
                opened.append((reader, writer))
                sending.append(asyncio.create_task(send(writer, kinds[number % len(kinds)])))
            await asyncio.sleep(0)
        await asyncio.sleep(0.5)
        yield
    finally:
        for task in sending:
            task.cancel()
        for _, writer in opened:
            writer.transport.abort()


@asynccontextmanager
async def flooding(socket: Path, path: str, connections: int) -> AsyncIterator[None]:
    """Run `flood` in another process, so that its memory is not counted as the runner's."""
    arguments = ["-m", "tests.socket_flood", str(socket), path, str(connections)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"done\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def until_at_most(socket: Path, connections: int) -> None:
    """Wait until this process, which serves the socket, has at most so many connections."""
    process = psutil.Process()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            served = [
                connection
                for connection in process.net_connections("unix")
                if connection.laddr == str(socket)
            ]
            if len(served) - 1 <= connections:  # the listening socket is not a connection
                return
            await asyncio.sleep(0.05)


async def _main(socket: str, path: str, connections: str) -> None:
    async with flood(Path(socket), int(connections), worst(path.encode())):
        sys.stdout.write("done\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
