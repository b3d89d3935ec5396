"""A provider's answer: read as it comes, broken off, understood when it is an error, and counted."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

import aiohttp
from aiohttp import web

from agentcontainer.gateway.budget import Budget, Reservation
from agentcontainer.gateway.usage import Meter, Usage, message_of


class UpstreamCut(Exception):
    """The provider's answer ended before it was complete."""


def settled(budget: Budget, reservation: Reservation, meter: Meter | None) -> Usage | None:
    """Settle by what the meter saw of the answer (None: there was none); what there is to report, if anything."""
    seen = meter.usage if meter else None
    usage = budget.settle(reservation, seen, is_complete=meter is not None and meter.is_complete)
    return usage if seen is not None or usage.unreported_tokens else None


async def chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises: UpstreamCut."""
    try:
        async for chunk in upstream.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        raise UpstreamCut from None


async def beginning(upstream: aiohttp.ClientResponse, size: int) -> bytes:
    """The first `size` bytes of the body, or a little more; less if there is no more."""
    body = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
        while len(body) < size and (chunk := await upstream.content.readany()):
            body += chunk
    return bytes(body)


def cut(request: web.BaseRequest) -> None:
    """Breaks the connection, so that the client does not take what it has for the whole."""
    if request.transport is not None:
        request.transport.abort()


def is_silence(error: Exception) -> bool:
    """The request may have reached the provider, and nothing came back in time."""
    return isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)


def error_message(body: bytes, name: str, status: int) -> str:
    """The provider's message in an error body; without one, a sentence with the status."""
    with suppress(ValueError, RecursionError):
        parsed: Any = json.loads(body)
        if isinstance(parsed, dict) and (message := message_of(cast(dict[str, Any], parsed))):
            return message[:1000]
    return f"{name} answered with status {status}."
