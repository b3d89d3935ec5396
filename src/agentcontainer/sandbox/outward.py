"""Resolves a host name and connects to an address in two steps, so that the caller can check the addresses between."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

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
    entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
