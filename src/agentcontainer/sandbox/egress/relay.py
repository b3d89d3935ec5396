"""Makes the TCP connections of a sandbox with an allow-list, each to a host on the list.

The firewall redirects every TCP connection inside to our listener, which asks the kernel for its original
destination. A stand-in address is resolved to its host here; the addresses found are checked, and one of them
is connected to.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable, Sequence

from agentcontainer.egress import Rule
from agentcontainer.sandbox.addresses import Address, is_public
from agentcontainer.sandbox.egress.refusals import Refusals
from agentcontainer.sandbox.egress.resolver import StandInAddresses
from agentcontainer.sandbox.outward import CHUNK_BYTES, Streams, connect, resolve

MAX_CONNECTIONS = 128
_SO_ORIGINAL_DST = 80
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that the program fails at once


class Relay:
    """Serves one sandbox.

    `own_addresses` returns the host's addresses, which are refused even if they are public. `is_private_allowed`: the
    operator trusts the hosts of `rules`, and no address of theirs is refused.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        stand_ins: StandInAddresses,
        refusals: Refusals,
        own_addresses: Callable[[], Sequence[Address]],
        *,
        is_private_allowed: bool = False,
    ) -> None:
        self._rules = rules
        self._stand_ins = stand_ins
        self._refusals = refusals
        self._own_addresses = own_addresses
        self._is_private_allowed = is_private_allowed
        self._connections = 0

    async def start(self, listener: socket.socket) -> None:
        """Serve until the event loop ends."""
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
        name = self._stand_ins.name_of(address)
        host = name or address
        if not any(rule.matches(host, port) for rule in self._rules):
            if not ipaddress.ip_address(address).is_loopback:
                self._refusals.add(host, port)
            return None
        try:
            addresses = await resolve(
                address if name is None else f"{name}.", port
            )  # the dot excludes search domains
        except UnicodeError:
            return None
        if self._is_private_allowed:
            return await connect(addresses, port)
        # In a thread, because it runs a program and would block the other connections.
        own = await asyncio.to_thread(self._own_addresses)
        return await connect(
            [address for address in addresses if is_public(address) and address not in own], port
        )


def _destination(connection: socket.socket) -> tuple[str, int]:
    """The destination of the connection before the firewall redirected it."""
    packed = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    port, raw = struct.unpack("!2xH4s8x", packed)
    return socket.inet_ntoa(raw), port


async def _pump(near: Streams, far: Streams) -> None:
    """Copy both directions, each until its end; an error in one ends both."""
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
