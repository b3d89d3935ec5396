"""The HTTP client for URLs that clients choose: it connects only to addresses that were checked."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agentcontainer.sandbox.destinations import Destinations


def judged_client(destinations: Destinations, *, force_close: bool = False) -> aiohttp.ClientSession:
    """A client whose connections go to the addresses that `destinations` allows. `force_close`: each to one request.

    It does not check an address that a URL names itself: check the URL with `Destinations.url_fault` before.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, resolver=_Judge(destinations), force_close=force_close
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


class _Judge(AbstractResolver):
    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._destinations.addresses(host, port)
        ]

    async def close(self) -> None:
        pass
