"""The model gateway of one attempt: what its sandbox may ask of its provider, over one Unix socket.

It runs outside the sandbox. It checks each request (admission.py), adds the key, streams the answer through
unbuffered, scrubs the key's bytes from it and counts its tokens.
"""

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from yarl import URL

from agentcontainer.domain.models.catalogue import Provider
from agentcontainer.gateway.admission import Admitted, Refused, admit
from agentcontainer.gateway.intake import Bounds, Intake
from agentcontainer.gateway.scrub import Scrubber, scrub, scrub_text, spellings
from agentcontainer.gateway.upstreams import (
    ENDPOINTS,
    PROVIDER_NAMES,
    Endpoint,
    Wire,
    error_body,
    inward_headers,
    outward_headers,
    url,
)
from agentcontainer.gateway.usage import Meter, Usage, message_of

_LARGE_BODY = 256 * 1024
_ERROR_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Route:
    """Where one task's model calls go. `models` are ids as the provider spells them; `api_key` None: every
    request is answered 401."""

    provider: Provider
    base_url: str
    models: frozenset[str]
    api_key: str | None = field(repr=False)


@dataclass(frozen=True)
class ProviderError:
    """What the provider last said was wrong: its status (502 where an answer that began well went wrong, or none
    came) and its own message, scrubbed."""

    status: int
    message: str


class UpstreamCut(Exception):
    """The provider's answer ended before it was complete."""


def provider_client() -> aiohttp.ClientSession:
    """The HTTP client that gateways share: no cookies kept, no connection limit, no decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


class Gateway:
    """Serves one attempt from `start` to `close`. `on_usage` is told the usage of each answer, before its end is
    passed on; also of one that was cut."""

    def __init__(
        self,
        route: Route,
        socket_path: Path,
        on_usage: Callable[[Usage], Awaitable[None] | None],
        client: aiohttp.ClientSession,
        bounds: Bounds | None = None,
    ) -> None:
        self.first_request_at: float | None = None
        """time.time() of the first request for a model."""
        self.last_error: ProviderError | None = None
        """What went wrong with the latest answer; None once one begins well."""
        self._route = route
        self._name = PROVIDER_NAMES[route.provider]
        self._socket_path = socket_path
        self._on_usage = on_usage
        self._client = client
        self._bounds = bounds or Bounds()
        self._secrets = spellings(route.api_key) if route.api_key else ()
        self._answering: set[asyncio.Task[Any]] = set()
        self._intake = Intake(self._bounds)
        self._parsing = asyncio.Lock()
        self._http = web.Server(
            self._answer, handler_cancellation=True, access_log=None, auto_decompress=False, lingering_time=2
        )
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens on the socket. Any uid may connect that can reach it: its folder is what guards it."""
        self._listener = await asyncio.get_running_loop().create_unix_server(
            self._connection, str(self._socket_path)
        )
        self._socket_path.chmod(0o666)

    async def close(self) -> None:
        """Cuts what is still open, reports its usage and removes the socket; idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            for task in self._answering:
                task.cancel()
            if self._answering:
                await asyncio.wait(self._answering, timeout=5)
            await self._http.shutdown(timeout=0.05)
            self._socket_path.unlink(missing_ok=True)

    def _connection(self) -> asyncio.BaseProtocol:
        # Without a limit a sandbox could use up the file descriptors that all tasks of this runner share.
        if len(self._http.connections) >= self._bounds.connections:
            return _Rejected()
        return self._http()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = ENDPOINTS.get(request.path)
        wire: Wire = endpoint.wire if endpoint else "openai-completions"
        try:
            return await self._serve(request, endpoint)
        except Refused as refusal:
            headers = {"Allow": "POST"} if refusal.status == 405 else {}
            if refusal.status < 500 and refusal.status != 429:
                headers["x-should-retry"] = "false"
            body = error_body(wire, refusal.status, refusal.message)
            return web.json_response(body, status=refusal.status, headers=headers)

    async def _serve(self, request: web.BaseRequest, endpoint: Endpoint | None) -> web.StreamResponse:
        if endpoint is None:
            raise Refused(404, "The model gateway has no such path.")
        if request.method != "POST":
            raise Refused(405, "The model gateway takes POST only.")
        if endpoint.provider != self._route.provider:
            raise Refused(
                403, f"This task's models are {self._name}'s, not {PROVIDER_NAMES[endpoint.provider]}'s."
            )
        if len(self._answering) >= self._bounds.requests:
            raise Refused(429, f"At most {self._bounds.requests} model requests at a time.")
        self.first_request_at = self.first_request_at or time.time()
        task = cast(asyncio.Task[Any], asyncio.current_task())
        self._answering.add(task)
        try:
            with self._intake.lease() as lease:
                admitted, key = await self._admit(endpoint, await self._intake.read(request, lease))
                return await self._forward(request, endpoint, admitted, key)
        finally:
            self._answering.discard(task)

    async def _admit(self, endpoint: Endpoint, body: bytes) -> tuple[Admitted, str]:
        provider, key = self._route.provider, self._route.api_key
        if not key or not key.isascii() or not key.isprintable():
            fault = f"The API key for {provider} is malformed" if key else f"No API key for {provider}"
            message = (
                f"{fault}: set one with PUT /api/v1/provider-keys/{provider} or overrides.providerApiKey."
            )
            self.last_error = ProviderError(401, message)
            raise Refused(401, message)
        if len(body) < _LARGE_BODY:
            return admit(endpoint.wire, body, self._route.models), key
        async with self._parsing:  # one at a time: parsed, a body takes several times its size
            work = asyncio.ensure_future(asyncio.to_thread(admit, endpoint.wire, body, self._route.models))
            try:
                return await asyncio.shield(work), key
            except asyncio.CancelledError:
                await asyncio.wait([work])  # a thread cannot be cancelled; the next must not start beside it
                raise

    async def _forward(
        self, request: web.BaseRequest, endpoint: Endpoint, admitted: Admitted, key: str
    ) -> web.StreamResponse:
        target = URL(url(endpoint, self._route.base_url, request.query_string), encoded=True)
        silence = self._bounds.silence_seconds
        try:
            upstream = await self._client.post(
                target,
                data=admitted.body,
                headers=outward_headers(endpoint, request.headers, key),
                allow_redirects=False,  # it would carry the key elsewhere
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=silence),
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failed("did not answer" if _is_timeout(error) else "cannot be reached") from None
        async with upstream:
            if 300 <= upstream.status < 400:
                raise self._failed("answered with a redirect, which is not followed")
            if upstream.headers.get("Content-Encoding", "identity") != "identity":
                raise self._failed("answered in an encoding that was not asked for")
            if upstream.status >= 400:
                return await self._relay_error(upstream)
            return await self._relay(request, endpoint, admitted, upstream)

    def _failed(self, what: str) -> Refused:
        self.last_error = ProviderError(502, f"{self._name} {what}.")
        return Refused(502, self.last_error.message)

    def _headers(self, upstream: aiohttp.ClientResponse) -> dict[str, str]:
        return {
            name: scrub_text(value, self._secrets) for name, value in inward_headers(upstream.headers).items()
        }

    async def _relay_error(self, upstream: aiohttp.ClientResponse) -> web.Response:
        body = await _beginning(upstream, _ERROR_BODY_BYTES)
        clean = scrub(body, self._secrets)
        if len(body) >= _ERROR_BODY_BYTES:
            clean = clean[: _ERROR_BODY_BYTES - 4096]  # what is cut off after scrubbing leaves no half a key
        message = scrub_text(_error_message(clean, self._name, upstream.status), self._secrets)
        self.last_error = ProviderError(upstream.status, message)
        return web.Response(status=upstream.status, headers=self._headers(upstream), body=clean)

    async def _relay(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        admitted: Admitted,
        upstream: aiohttp.ClientResponse,
    ) -> web.StreamResponse:
        is_stream = upstream.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        meter = Meter(endpoint.wire, admitted.model, is_stream=is_stream)
        scrubber = Scrubber(self._secrets)
        response = web.StreamResponse(status=upstream.status, headers=self._headers(upstream))
        self.last_error = None
        try:
            await response.prepare(request)
            async for chunk in _chunks(upstream):
                meter.feed(chunk)
                if clean := scrubber.feed(chunk):
                    await response.write(clean)
            await response.write(scrubber.end())
        except UpstreamCut:
            self.last_error = ProviderError(502, f"{self._name} broke off in the middle of its answer.")
            _cut(request)
        except ConnectionResetError:
            pass  # the sandbox has hung up
        finally:
            meter.end()
            if meter.error is not None:
                self.last_error = ProviderError(502, scrub_text(meter.error, self._secrets)[:1000])
            await self._report(meter.usage)
        return response

    async def _report(self, usage: Usage | None) -> None:
        if usage is not None and inspect.isawaitable(told := self._on_usage(usage)):
            await told


class _Rejected(asyncio.Protocol):
    """A connection beyond the limit: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


async def _chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises: UpstreamCut."""
    try:
        async for chunk in upstream.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        raise UpstreamCut from None


async def _beginning(upstream: aiohttp.ClientResponse, size: int) -> bytes:
    """The first `size` bytes of the body, or a little more; less if there is no more."""
    body = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
        while len(body) < size and (chunk := await upstream.content.readany()):
            body += chunk
    return bytes(body)


def _cut(request: web.BaseRequest) -> None:
    """Breaks the connection, so that the client does not take what it has for the whole."""
    if request.transport is not None:
        request.transport.abort()


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)


def _error_message(body: bytes, name: str, status: int) -> str:
    """The provider's message in an error body; without one, a sentence with the status."""
    with suppress(ValueError, RecursionError):
        parsed: Any = json.loads(body)
        if isinstance(parsed, dict) and (message := message_of(cast(dict[str, Any], parsed))):
            return message[:1000]
    return f"{name} answered with status {status}."
