"""Connections of a sandbox whose hosts are named: each is judged by the name it is for, and made out here.

Every TCP connection inside ends at our listener, which learns from the kernel where it was to go. An address that
stands for a name is resolved now, and what we connect to is the very address that was judged.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable, Sequence

from agentcontainer.egress import Rule
from agentcontainer.sandbox.addresses import Address, is_public
from agentcontainer.sandbox.egress.refusals import Refusals
from agentcontainer.sandbox.egress.resolver import Standins
from agentcontainer.sandbox.outward import CHUNK_BYTES, Streams, connect, resolve

MAX_CONNECTIONS = 128
_SO_ORIGINAL_DST = 80
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST, which programs notice at once


class Relay:
    """Serves one sandbox. `own_addresses` gives the host's own, which are refused though they may be public."""

    def __init__(
        self,
        rules: Sequence[Rule],
        standins: Standins,
        refusals: Refusals,
        own_addresses: Callable[[], Sequence[Address]],
    ) -> None:
        self._rules = rules
        self._standins = standins
        self._refusals = refusals
        self._own_addresses = own_addresses
        self._connections = 0

    async def start(self, listener: socket.socket) -> None:
        """Serve from now on, for as long as the event loop runs."""
        await asyncio.start_server(self._serve, sock=listener, limit=CHUNK_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            remote = None
            if self._connections <= MAX_CONNECTIONS:
                remote = await self._open(writer.get_extra_info("socket"))
            if remote is None:
                _reset(writer)
                return
            try:
                await _pump((reader, writer), remote)
            finally:
                remote[1].close()
        except OSError:
            _reset(writer)
        finally:
            self._connections -= 1
            writer.close()

    async def _open(self, connection: socket.socket) -> Streams | None:
        address, port = _destination(connection)
        name = self._standins.name_of(address)
        host = name or address
        if not any(rule.matches(host, port) for rule in self._rules):
            if not ipaddress.ip_address(address).is_loopback:
                self._refusals.add(host, port)
            return None
        try:
            found = await resolve(address if name is None else f"{name}.", port)  # in no search domain
        except UnicodeError:
            return None
        # In a thread: it runs a program, and the other connections must not wait for that.
        own = await asyncio.to_thread(self._own_addresses)
        return await connect([one for one in found if is_public(one) and one not in own], port)


def _destination(connection: socket.socket) -> tuple[str, int]:
    """Where the sandbox connected to, before the rules led it here."""
    packed = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    port, raw = struct.unpack("!2xH4s8x", packed)
    return socket.inet_ntoa(raw), port


async def _pump(near: Streams, far: Streams) -> None:
    """Both directions, each until its end; an error in one ends both."""
    copies = [asyncio.create_task(_copy(near[0], far[1])), asyncio.create_task(_copy(far[0], near[1]))]
    try:
        await asyncio.gather(*copies)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        target.write(chunk)
        await target.drain()
    target.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
