"""An HTTP server on a Unix socket for one sandbox, with a bounded number of connections."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import cast

from aiohttp import web

# Together they bound the memory that a connection uses before its request is complete.
MAX_LINE_BYTES = 4096  # of a header, too
MAX_HEADERS = 64
READ_BYTES = 8192

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@contextlib.contextmanager
def socket_folder(folder: Path) -> Generator[Path]:
    """A path to `folder` that is short enough for a Unix socket, however long its own is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


class SandboxSocket:
    """Serves requests with `answer` on a socket file, from `open` to `close`. Bodies are not decompressed.

    Without a limit of connections, one sandbox could use up the file descriptors that all tasks of its runner
    share.
    """

    def __init__(self, answer: Answer, max_connections: int, lingering_seconds: float) -> None:
        self._http = web.Server(
            answer,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            lingering_time=lingering_seconds,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._max_connections = max_connections
        self._listener: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self, path: Path) -> None:
        """Listen. Every uid that can reach the file may connect: the permissions of its folder restrict
        access."""
        self._path = path
        self._listener = await asyncio.get_running_loop().create_unix_server(self._connection, str(path))
        path.chmod(0o666)

    def refuse_new(self) -> bool:
        """Accept no further connection; False if it was closed already."""
        if self._listener is None:
            return False
        self._listener.close()
        self._listener = None
        return True

    async def close(self) -> None:
        """Cut open connections and remove the socket file. Idempotent."""
        self.refuse_new()
        await self._http.shutdown(timeout=0.05)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _connection(self) -> asyncio.BaseProtocol:
        return _Connection(self._http, self._max_connections)


class _Connection(asyncio.BufferedProtocol):
    """One connection, which is cut if there are too many. aiohttp gets at most `READ_BYTES` at a time.

    If a client sends something that is not HTTP, the bytes read last stay in memory until the next garbage
    collection, in the traceback of an exception that refers to itself. asyncio would read 256 KiB at a time,
    so a sandbox that connects again and again could fill the memory.
    """

    def __init__(self, http: web.Server, max_connections: int) -> None:
        self._server = http
        self._max_connections = max_connections
        self._http: web.RequestHandler | None = None
        self._buffer = bytearray(READ_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Connections are counted here and not earlier: of several made at once, none is counted before.
        if len(self._server.connections) >= self._max_connections:
            cast(asyncio.Transport, transport).abort()
            return
        self._http = self._server()
        self._http.connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._http is not None:
            self._http.data_received(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._http is not None:
            self._http.connection_lost(exc)
