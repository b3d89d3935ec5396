"""Request bodies from one sandbox, read within bounds: whatever it sends, memory and time stay limited."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from agentcontainer.gateway.admission import Refused


@dataclass(frozen=True)
class Bounds:
    """What one sandbox may take of its gateway."""

    body_bytes: int = 32 * 1024**2
    bytes_in_flight: int = 64 * 1024**2
    requests: int = 16
    connections: int = 64
    body_seconds: float = 60
    silence_seconds: float = 900


@dataclass
class Lease:
    """The bytes that one request counts against `Bounds.bytes_in_flight`."""

    bytes: int = 0


class Intake:
    """Reads the bodies of one sandbox's requests."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._bytes_in_flight = 0

    @contextmanager
    def lease(self) -> Generator[Lease]:
        """What is read on the lease counts until it ends."""
        lease = Lease()
        try:
            yield lease
        finally:
            self._bytes_in_flight -= lease.bytes

    async def read(self, request: web.BaseRequest, lease: Lease) -> bytes:
        """The body. Raises: Refused (400, 408, 413, 415, 429)."""
        if set(map(str.lower, request.headers.getall("Content-Encoding", []))) - {"identity"}:
            raise Refused(415, "The model gateway takes uncompressed requests only.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._bounds.body_seconds):
                async for chunk in request.content.iter_any():
                    self._count(len(chunk), lease)
                    body += chunk
        except TimeoutError:
            raise Refused(408, "The model request did not arrive in time.") from None
        except web.RequestPayloadError:
            raise Refused(400, "The model request is cut short or badly encoded.") from None
        return bytes(body)

    def _count(self, size: int, lease: Lease) -> None:
        lease.bytes += size
        self._bytes_in_flight += size
        if lease.bytes > self._bounds.body_bytes:
            raise Refused(413, f"A model request may have {self._bounds.body_bytes} bytes.")
        if self._bytes_in_flight > self._bounds.bytes_in_flight:
            raise Refused(429, "Too many large model requests at a time.")
