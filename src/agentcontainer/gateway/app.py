"""The model gateway of one attempt: what its sandbox may ask of its provider, over one Unix socket.

It runs outside the sandbox. It checks each request (admission.py) and whether the budget allows it (budget.py), adds
the key, streams the answer through unbuffered, scrubs the key's bytes from it and counts its tokens.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from yarl import URL

from agentcontainer.domain.models.catalogue import Provider
from agentcontainer.gateway.admission import Admitted, Refused, admit
from agentcontainer.gateway.budget import Ask, Budget, Reservation
from agentcontainer.gateway.output_limit import ask_of, with_output
from agentcontainer.gateway.provider_response import (
    UpstreamCut,
    beginning,
    chunks,
    cut,
    error_message,
    is_silence,
    settled,
)
from agentcontainer.gateway.request_body import Bounds, Intake
from agentcontainer.gateway.upstreams import (
    ENDPOINTS,
    PROVIDER_NAMES,
    Endpoint,
    Wire,
    answer_fault,
    error_body,
    inward_headers,
    outward_headers,
    url,
)
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.redaction import Redactor, encodings_of, redact, redact_text
from agentcontainer.sandbox.http_socket import SandboxSocket

_LARGE_BODY = 256 * 1024
_ERROR_BODY_BYTES = 64 * 1024
# Pi does not retry what says "out of budget".
OUT_OF_BUDGET = "This task is out of budget: its model requests may use no more."


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
        budget: Budget | None = None,
    ) -> None:
        self.budget = budget or Budget()
        """What its requests may use; without one, anything."""
        self.last_error: ProviderError | None = None
        """What went wrong with the latest answer; None once one begins well."""
        self._route = route
        self._name = PROVIDER_NAMES[route.provider]
        self._socket_path = socket_path
        self._on_usage = on_usage
        self._client = client
        self._bounds = bounds or Bounds()
        self._secrets = encodings_of(route.api_key) if route.api_key else ()
        self._answering: set[asyncio.Task[Any]] = set()
        self._intake = Intake(self._bounds)
        self._parsing = asyncio.Lock()
        self._socket = SandboxSocket(self._answer, self._bounds.connections, lingering_seconds=2)

    async def start(self) -> None:
        """Listens on the socket."""
        await self._socket.open(self._socket_path)

    async def close(self) -> None:
        """Cuts what is still open, reports its usage and removes the socket; idempotent."""
        if self._socket.refuse_new():
            for task in self._answering:
                task.cancel()
            if self._answering:
                await asyncio.wait(self._answering, timeout=5)
            await self._socket.close()

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
        task = cast(asyncio.Task[Any], asyncio.current_task())
        self._answering.add(task)
        try:
            with self._intake.lease() as lease:
                admitted, key = await self._admit(endpoint, await self._intake.read(request, lease))
                admitted, reservation = await self._reserve(admitted)
                try:
                    return await self._forward(request, endpoint, admitted, key, reservation)
                finally:
                    if reservation.is_open:  # the sandbox hung up, or the provider fell silent
                        await self._settle(reservation, None)
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

    async def _reserve(self, admitted: Admitted) -> tuple[Admitted, Reservation]:
        provider, is_limited = self._route.provider, self.budget.is_limited
        ask = ask_of(admitted, provider) if is_limited else Ask(admitted.model, 0, 0)
        reservation = await self.budget.reserve(ask)
        if reservation is None:
            raise Refused(403, OUT_OF_BUDGET)
        if is_limited:
            admitted = with_output(admitted, provider, reservation.output_tokens)
        return admitted, reservation

    async def _forward(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        admitted: Admitted,
        key: str,
        reservation: Reservation,
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
            if not is_silence(error):
                self.budget.release(reservation)
            raise self._failed("did not answer" if is_silence(error) else "cannot be reached") from None
        async with upstream:
            if not 200 <= upstream.status < 300:
                self.budget.release(reservation)
            if fault := answer_fault(upstream.status, upstream.headers):
                raise self._failed(fault)
            if upstream.status >= 400:
                return await self._relay_error(upstream)
            return await self._relay(request, endpoint, upstream, reservation)

    def _failed(self, what: str) -> Refused:
        self.last_error = ProviderError(502, f"{self._name} {what}.")
        return Refused(502, self.last_error.message)

    def _headers(self, upstream: aiohttp.ClientResponse) -> dict[str, str]:
        secrets = [secret.lower() for secret in self._secrets]
        return {
            name: redact_text(value, self._secrets)
            for name, value in inward_headers(upstream.headers).items()
            if not any(secret in name.lower().encode(errors="replace") for secret in secrets)
        }

    async def _relay_error(self, upstream: aiohttp.ClientResponse) -> web.Response:
        body = await beginning(upstream, _ERROR_BODY_BYTES)
        clean = redact(body, self._secrets)
        if len(body) >= _ERROR_BODY_BYTES:
            clean = clean[: _ERROR_BODY_BYTES - 4096]  # what is cut off after scrubbing leaves no half a key
        message = redact_text(error_message(clean, self._name, upstream.status), self._secrets)
        self.last_error = ProviderError(upstream.status, message)
        return web.Response(status=upstream.status, headers=self._headers(upstream), body=clean)

    async def _relay(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        upstream: aiohttp.ClientResponse,
        reservation: Reservation,
    ) -> web.StreamResponse:
        is_stream = upstream.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        meter = Meter(endpoint.wire, reservation.model, is_stream=is_stream)
        redactor = Redactor(self._secrets)
        response = web.StreamResponse(status=upstream.status, headers=self._headers(upstream))
        self.last_error = None
        try:
            await response.prepare(request)
            async for chunk in chunks(upstream):
                meter.feed(chunk)
                if clean := redactor.feed(chunk):
                    await response.write(clean)
            await response.write(redactor.end())
        except UpstreamCut:
            self.last_error = ProviderError(502, f"{self._name} broke off in the middle of its answer.")
            cut(request)
        except ConnectionResetError:
            pass  # the sandbox has hung up
        finally:
            meter.end()
            if meter.error is not None:
                self.last_error = ProviderError(502, redact_text(meter.error, self._secrets)[:1000])
            await self._settle(reservation, meter)
        return response

    async def _settle(self, reservation: Reservation, meter: Meter | None) -> None:
        usage = settled(self.budget, reservation, meter)
        if usage is not None and inspect.isawaitable(told := self._on_usage(usage)):
            await told
