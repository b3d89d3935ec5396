"""A proxy in front of a socket that a test can cut."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from pathlib import Path


class Relay:
    """A proxy in front of a socket. `cut` breaks its connections and refuses new ones.

    Both ends are Unix sockets (a path) or TCP ports on this host; port 0 means any free one.
    """

    def __init__(self, target: Path | int, listen: Path | int = 0) -> None:
        self._target = target
        self.listens = listen
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.restore()

    def restore(self) -> None:
        self._do(self._open())

    def cut(self) -> None:
        self._do(self._close())

    def end(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        if isinstance(self.listens, Path):
            self._server = await asyncio.start_unix_server(self._relay, self.listens)
        else:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.listens)
            self.listens = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self._target, Path):
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = {writer, far_writer}
        self._writers |= pair
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= pair


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
