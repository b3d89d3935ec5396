"""A Unix socket that one sandbox reaches: an HTTP server with a bounded number of connections."""

import asyncio
from pathlib import Path
from typing import cast

from aiohttp import web


class SandboxSocket:
    """Serves `http` on a socket file from `open` to `close`.

    Without the limit one sandbox could use up the file descriptors that all tasks of its runner share.
    """

    def __init__(self, http: web.Server, max_connections: int) -> None:
        self._http = http
        self._max_connections = max_connections
        self._listener: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self, path: Path) -> None:
        """Listen. Any uid may connect that can reach the file: its folder is what guards it."""
        self._path = path
        self._listener = await asyncio.get_running_loop().create_unix_server(self._connection, str(path))
        path.chmod(0o666)

    def refuse_new(self) -> bool:
        """Take no further connection; False when it is closed already."""
        if self._listener is None:
            return False
        self._listener.close()
        self._listener = None
        return True

    async def close(self) -> None:
        """Cut what is open and remove the file; idempotent."""
        self.refuse_new()
        await self._http.shutdown(timeout=0.05)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _connection(self) -> asyncio.BaseProtocol:
        if len(self._http.connections) >= self._max_connections:
            return _Rejected()
        return self._http()


class _Rejected(asyncio.Protocol):
    """A connection beyond the limit: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()
