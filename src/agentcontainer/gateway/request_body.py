"""Reads request bodies from one sandbox within limits of size, time and memory."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from agentcontainer.gateway.refusal import Refused


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use of its gateway."""

    body_bytes: int = 32 * 1024**2
    bytes_in_flight: int = 64 * 1024**2
    requests: int = 16
    connections: int = 64
    body_seconds: float = 60
    silence_seconds: float = 300  # a reasoning model may send nothing for minutes


@dataclass
class Lease:
    """The bytes that one request counts against `Limits.bytes_in_flight`."""

    bytes: int = 0


class BodyReader:
    """Reads the bodies of one sandbox's requests."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes_in_flight = 0

    @contextmanager
    def lease(self) -> Generator[Lease]:
        """A lease; the bytes read on it count until the block ends."""
        lease = Lease()
        try:
            yield lease
        finally:
            self._bytes_in_flight -= lease.bytes

    async def read(self, request: web.BaseRequest, lease: Lease) -> bytes:
        """The request's body.

        Raises:
            Refused: 400 incomplete, 408 too slow, 413 too large, 415 compressed, 429 too much in flight.
        """
        if set(map(str.lower, request.headers.getall("Content-Encoding", []))) - {"identity"}:
            raise Refused(415, "The model gateway takes uncompressed requests only.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.content.iter_any():
                    self._count(len(chunk), lease)
                    body += chunk
        except TimeoutError:
            raise Refused(408, "The model request did not arrive in time.") from None
        except web.RequestPayloadError:
            raise Refused(400, "The model request is incomplete or badly encoded.") from None
        return bytes(body)

    def _count(self, size: int, lease: Lease) -> None:
        lease.bytes += size
        self._bytes_in_flight += size
        if lease.bytes > self._limits.body_bytes:
            raise Refused(413, f"A model request may have at most {self._limits.body_bytes} bytes.")
        if self._bytes_in_flight > self._limits.bytes_in_flight:
            raise Refused(429, "Too many large model requests at the same time.")
