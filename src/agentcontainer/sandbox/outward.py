"""Resolves a host name and connects to an address in two steps, so that the caller can check the addresses between."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from agentcontainer.sandbox.addresses import Address

CONNECT_SECONDS = 15.0
CHUNK_BYTES = 64 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host.

    Raises:
        OSError: it has none. UnicodeError: it is not a valid name.
    """
    loop = asyncio.get_running_loop()
    return _addresses(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def resolve_apart(host: str, port: int) -> list[Address]:
    """The same of a host that a client chose, in a thread of its own.

    A client's name server may not answer for minutes. Asyncio has few threads for all blocking calls of a process, and
    waits for them at its exit.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def settle(addresses: list[Address], error: Exception | None) -> None:
        if found.done():  # nobody waits any more
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        try:
            addresses, error = _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)), None
        except Exception as failure:
            addresses, error = [], failure
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, addresses, error)

    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    return await found


def _addresses(entries: Sequence[tuple[Any, ...]]) -> list[Address]:
    """Those of the entries of `getaddrinfo`, each once."""
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
    return [ipaddress.ip_address(text) for text in texts]


async def connect(addresses: Sequence[Address], port: int) -> Streams:
    """A connection to the first address that accepts one.

    Raises:
        OSError: none does.
    """
    failure = OSError("there is no address")
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(str(address), port, limit=CHUNK_BYTES)
        except OSError as error:  # TimeoutError is an OSError
            failure = error
    raise failure
