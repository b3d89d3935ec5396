"""Reads a provider's response: its chunks, the message of an error, and what it means for the budget."""

from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
from aiohttp import web

from agentcontainer.gateway.budget import Budget, Reservation
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.usage import Meter, Usage, error_message_in
from agentcontainer.sandbox.destinations import DestinationRefused


class ResponseCut(Exception):
    """The provider's response ended before it was complete."""


def settle(budget: Budget, reservation: Reservation, meter: Meter | None) -> Usage | None:
    """Settle the reservation by the usage that the meter read; None as meter: there was no response.

    Returns the usage to report, if any.
    """
    measured = meter.usage if meter else None
    usage = budget.settle(reservation, measured, is_complete=meter is not None and meter.is_complete)
    return usage if measured is not None or usage.unreported_tokens else None


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body's chunks as they arrive.

    Raises:
        ResponseCut: the connection broke.
    """
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        raise ResponseCut from None


async def continued(beginning: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`beginning`, if there is one, and then `rest`."""
    if beginning:
        yield beginning
    async for chunk in rest:
        yield chunk


def measured(meter: Meter, body: bytes) -> Meter:
    """The meter after it has read all of a body."""
    meter.feed(body)
    meter.end()
    return meter


async def beginning(response: aiohttp.ClientResponse, size: int) -> bytes:
    """At least the first `size` bytes of the body, or all that arrives before its end or a broken connection."""
    body = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
        while len(body) < size and (chunk := await response.content.readany()):
            body += chunk
    return bytes(body)


def abort(request: web.BaseRequest) -> None:
    """Break the client's connection, so that it does not take a partial response for a complete one."""
    if request.transport is not None:
        request.transport.abort()


def is_read_timeout(error: Exception) -> bool:
    """Whether the request may have reached the provider, which then sent nothing in time."""
    return isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)


def is_refused_here(error: Exception) -> bool:
    """Whether a proxy, a certificate or our check of addresses prevented the connection: a repeat would not help."""
    is_judged = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, DestinationRefused
    )
    kinds = aiohttp.ClientHttpProxyError | aiohttp.ClientConnectorCertificateError
    return is_judged or isinstance(error, kinds)


def unreachable(error: Exception) -> str:
    """Why no connection was made, as the predicate of a sentence about the provider. It holds no URL."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, DestinationRefused):
        return f"cannot be reached: {error.os_error}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"cannot be reached: the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "cannot be reached: the proxy cannot be reached"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "cannot be reached: its certificate is not trusted here (SSL_CERT_FILE names the trusted CAs)"
    return "cannot be reached"


def error_message(body: bytes, provider_name: str, status: int) -> str:
    """The provider's message in an error body, at most 1,000 characters; without one, a sentence with the status."""
    parsed = JsonObject.parse(body)
    if parsed is not None and (message := error_message_in(parsed)):
        return message[:1000]
    return f"{provider_name} answered with status {status}."
