"""The clone proxy: a SOCKS5 server through which a sandbox that clones reaches one host, and nothing else.

It resolves the host itself and connects to an address that it checked, so DNS rebinding gains nothing. A
program that took over git in the sandbox can reach no other host.
"""

import asyncio
import ipaddress
import struct
from pathlib import Path

from agentcontainer.sandbox.addresses import Address
from agentcontainer.sandbox.destinations import DestinationRefused, Destinations
from agentcontainer.sandbox.outward import CHUNK_BYTES, Streams, connect

HANDSHAKE_SECONDS = 10.0
MAX_CONNECTIONS = 16
_VERSION, _CONNECT, _NO_PASSWORD = 5, 1, 0
_GRANTED, _FAILED, _NOT_ALLOWED = 0, 1, 2


class CloneProxy:
    """Serves one clone. `refusal`: why a connection was refused, as the end of a sentence for the task's
    owner."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_bytes: int,
        destinations: Destinations,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._host = _canonical(host)
        self._port = port
        self._bytes_left = max_bytes
        self._destinations = destinations
        self._handshake_seconds = handshake_seconds
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._addresses: list[Address] | None = None
        self.refusal: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether more than `max_bytes` were received."""
        return self._bytes_left < 0

    async def start(self, path: Path) -> None:
        """Listen on the Unix socket `path`."""
        self._server = await asyncio.start_unix_server(self._accept, path)

    async def close(self) -> None:
        """Stop listening, and cut open connections."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._serving) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, UnicodeError):
            pass
        except asyncio.CancelledError:
            pass  # cancelled by `close`; asyncio would log it as an error
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._handshake_seconds):
            destination = await _handshake(reader, writer)
        if destination != (self._host, self._port):
            self.refusal = "it redirects to another host or port, which is not followed"
            writer.write(_reply(_NOT_ALLOWED))
            return
        try:
            remote = await self._connect()
        except DestinationRefused as error:
            self.refusal = str(error)
            remote = None
        except (OSError, UnicodeError):
            self.refusal = "its host cannot be reached"
            remote = None
        if remote is None:
            writer.write(_reply(_FAILED))
            return
        writer.write(_reply(_GRANTED))
        try:
            await self._pump((reader, writer), remote)
        finally:
            remote[1].close()

    async def _connect(self) -> Streams:
        if self._addresses is None:
            self._addresses = await self._destinations.addresses(self._host, self._port)
        return await connect(self._addresses, self._port)

    async def _pump(self, near: Streams, far: Streams) -> None:
        """Copy both directions until either side closes: git does not half-close connections."""
        copies = [
            asyncio.create_task(self._copy(near[0], far[1], is_counted=False)),
            asyncio.create_task(self._copy(far[0], near[1], is_counted=True)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_counted: bool
    ) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if is_counted:
                self._bytes_left -= len(chunk)
                if self.is_over:
                    return
            target.write(chunk)
            await target.drain()


async def _handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """The requested host and port (RFC 1928)."""
    version, methods = await reader.readexactly(2)
    offered = await reader.readexactly(methods)
    if version != _VERSION or _NO_PASSWORD not in offered:
        raise OSError("not SOCKS5")
    writer.write(bytes((_VERSION, _NO_PASSWORD)))
    version, command, _, address_type = await reader.readexactly(4)
    if version != _VERSION or command != _CONNECT:
        raise OSError("not a SOCKS5 CONNECT request")
    if address_type == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    elif address_type in (1, 4):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if address_type == 1 else 16)))
    else:
        raise OSError("an unknown address type")
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    return _canonical(host), port


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def _reply(code: int) -> bytes:
    return bytes((_VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0))
