"""The model gateway of one attempt: an HTTP server on a Unix socket, through which a sandbox uses its provider.

It runs outside the sandbox. It checks each request (admission.py), reserves its cost in the budget (budget.py), adds
the provider key, and streams the response back without buffering, redacting the key and counting tokens.
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

from agentcontainer.gateway.admission import Admitted, admit
from agentcontainer.gateway.answer_stream import AnswerStream
from agentcontainer.gateway.budget import Budget, Estimate, Reservation
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.patience import Outage, Patience, is_overload, retry_after
from agentcontainer.gateway.provider_response import (
    ResponseCut,
    abort,
    beginning,
    chunks,
    error_message,
    is_read_timeout,
    settle,
)
from agentcontainer.gateway.refusal import Refused, error_body
from agentcontainer.gateway.request_body import BodyReader, Limits
from agentcontainer.gateway.upstreams import (
    ENDPOINTS,
    Endpoint,
    Wire,
    request_headers,
    response_fault,
    response_headers,
    unexpected_type,
    url,
)
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.printable import without_controls
from agentcontainer.providers import PROVIDERS
from agentcontainer.redaction import Redactor, encodings_of, redact, redact_text
from agentcontainer.sandbox.http_socket import SandboxSocket

_LARGE_BODY = 256 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_QUOTED_CHARACTERS = 200  # of a web page that came instead of an answer
# Pi does not retry a request whose error says "out of budget".
OUT_OF_BUDGET = "This task is out of budget: its model requests have used what they may use."


@dataclass(frozen=True)
class Route:
    """Which provider and models one task uses.

    `models` are the provider's own ids. Without an `api_key` every request is answered 401.
    """

    provider: str
    base_url: str
    models: frozenset[str]
    api_key: str | None = field(repr=False)
    title: str | None = None
    """Who answers, as messages name it; None: the provider's own title."""

    @property
    def name(self) -> str:
        return self.title or PROVIDERS[self.provider].title


@dataclass(frozen=True)
class ProviderError:
    """The provider's latest error: its message, redacted, and the status that it answered with.

    The status is None if the provider did not answer, or answered with success and then failed.
    """

    status: int | None
    message: str


def provider_client() -> aiohttp.ClientSession:
    """The HTTP client that gateways share: no cookies, no connection limit, no decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


class _Overloaded(Exception):
    """The provider has no capacity now, and answered so. The request may be repeated after `retry_after` seconds."""

    def __init__(self, response: web.Response, retry_after: float) -> None:
        super().__init__()
        self.response = response
        self.retry_after = retry_after


class Gateway:
    """Serves one attempt from `start` to `close`.

    `on_usage` gets the usage of each response before the response's end is passed on, also if the response was cut.
    """

    def __init__(
        self,
        route: Route,
        socket_path: Path,
        on_usage: Callable[[Usage], Awaitable[None] | None],
        client: aiohttp.ClientSession,
        limits: Limits | None = None,
        budget: Budget | None = None,
        patience: Patience | None = None,
        on_retry: Callable[[int, float], None] | None = None,
    ) -> None:
        self.budget = budget or Budget()
        """What its requests may use; unlimited by default."""
        self.last_error: ProviderError | None = None
        """The error of the latest response; None once a response begins successfully."""
        self.patience = patience or Patience()
        """How long requests wait for an overloaded provider; not at all by default."""
        self.is_ended_by_outage = False
        """Whether a request that has waited as long as it may gets no answer, because the attempt ends."""
        self._on_retry = on_retry
        self._route = route
        self._name = route.name
        self._socket_path = socket_path
        self._on_usage = on_usage
        self._client = client
        self._limits = limits or Limits()
        self._secrets = encodings_of(route.api_key) if route.api_key else ()
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._bodies = BodyReader(self._limits)
        self._parsing = asyncio.Lock()
        self._socket = SandboxSocket(self._handle, self._limits.connections, lingering_seconds=2)

    async def start(self) -> None:
        """Listen on the socket."""
        await self._socket.open(self._socket_path)

    async def close(self) -> None:
        """Cancel the requests that are in flight, report their usage and remove the socket; idempotent."""
        if self._socket.refuse_new():
            for task in self._in_flight:
                task.cancel()
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=5)
            await self._socket.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = ENDPOINTS.get(request.path)
        wire: Wire = endpoint.wire if endpoint else "openai-completions"
        try:
            return await self._serve(request, endpoint)
        except Refused as refusal:
            headers = {"Allow": "POST"} if refusal.status == 405 else {}
            if refusal.status < 500 and refusal.status != 429:
                headers["x-should-retry"] = "false"
            return web.Response(
                body=error_body(wire, refusal),
                status=refusal.status,
                headers=headers,
                content_type="application/json",
                charset="utf-8",
            )

    async def _serve(self, request: web.BaseRequest, endpoint: Endpoint | None) -> web.StreamResponse:
        if endpoint is None:
            raise Refused(404, "The model gateway has no such path.")
        if request.method != "POST":
            raise Refused(405, "The model gateway accepts POST only.")
        if endpoint.provider != self._route.provider:
            raise Refused(
                403, f"This task's models are {self._name}'s, not {PROVIDERS[endpoint.provider].title}'s."
            )
        if len(self._in_flight) >= self._limits.requests:
            raise Refused(
                429, f"At most {self._limits.requests} model requests are allowed at the same time."
            )
        task = cast(asyncio.Task[Any], asyncio.current_task())
        self._in_flight.add(task)
        try:
            with self._bodies.lease() as lease:
                admitted, key = await self._admit(endpoint, await self._bodies.read(request, lease))
                while True:
                    try:
                        return await self._try(request, endpoint, admitted, key)
                    except _Overloaded as overload:
                        if not await self._wait(overload):
                            return overload.response
        finally:
            self._in_flight.discard(task)

    async def _try(
        self, request: web.BaseRequest, endpoint: Endpoint, admitted: Admitted, key: str
    ) -> web.StreamResponse:
        admitted, reservation = await self._reserve(admitted)
        try:
            return await self._forward(request, endpoint, admitted, key, reservation)
        finally:
            if reservation.is_open:  # the sandbox disconnected, or the provider did not answer in time
                await self._settle(reservation, None)

    async def _wait(self, overload: "_Overloaded") -> bool:
        """Wait before a request is repeated; False: it has waited as long as it may."""
        seconds = self.patience.wait_seconds(overload.retry_after)
        if seconds is not None:
            if self._on_retry is not None:
                self._on_retry(self.patience.failures, seconds)
            await asyncio.sleep(seconds)
            return True
        if self.is_ended_by_outage:
            message = self.last_error.message if self.last_error else ""
            self.patience.report(Outage(message, overload.retry_after))
            await asyncio.Event().wait()  # until the gateway is closed
        return False

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
        async with self._parsing:  # one at a time: a parsed body takes several times its size in memory
            work = asyncio.ensure_future(asyncio.to_thread(admit, endpoint.wire, body, self._route.models))
            try:
                return await asyncio.shield(work), key
            except asyncio.CancelledError:
                await asyncio.wait([work])  # a thread cannot be cancelled; the next must not run beside it
                raise

    async def _reserve(self, admitted: Admitted) -> tuple[Admitted, Reservation]:
        provider, is_limited = self._route.provider, self.budget.is_limited
        estimate = estimate_of(admitted, provider) if is_limited else Estimate(admitted.model, 0, 0)
        reservation = await self.budget.reserve(estimate)
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
        silence = self._limits.silence_seconds
        try:
            upstream = await self._client.post(
                target,
                data=admitted.body,
                headers=request_headers(endpoint, request.headers, key),
                allow_redirects=False,  # a redirect would send the key to another server
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=silence),
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            if is_read_timeout(error):
                raise self._failed("did not answer") from None
            self.budget.release(reservation)
            raise self._failed("cannot be reached") from None
        async with upstream:
            if not 200 <= upstream.status < 300:
                self.budget.release(reservation)
            if fault := response_fault(upstream.status, upstream.headers):
                raise self._failed(fault)
            if upstream.status >= 400:
                return await self._relay_error(upstream)
            if (kind := unexpected_type(upstream.headers)) is not None:
                raise self._not_a_model(kind, await beginning(upstream, 4096))
            return await self._relay(request, endpoint, upstream, reservation)

    def _failed(self, predicate: str) -> Refused:
        self.last_error = ProviderError(None, f"{self._name} {predicate}.")
        return Refused(502, self.last_error.message)

    def _not_a_model(self, content_type: str, body: bytes) -> Refused:
        """The refusal for a successful response that is not a model's answer, such as a login page."""
        text = without_controls(redact(body, self._secrets).decode("utf-8", "replace"))
        start = " ".join(text.split())[:_QUOTED_CHARACTERS]
        return self._failed(
            redact_text(f"answered with {content_type} instead of a model's answer: {start}", self._secrets)
        )

    def _headers(self, upstream: aiohttp.ClientResponse) -> dict[str, str]:
        secrets = [secret.lower() for secret in self._secrets]
        return {
            name: redact_text(value, self._secrets)
            for name, value in response_headers(upstream.headers).items()
            if not any(secret in name.lower().encode(errors="replace") for secret in secrets)
        }

    async def _relay_error(self, upstream: aiohttp.ClientResponse) -> web.Response:
        body = await beginning(upstream, _ERROR_BODY_BYTES)
        clean = redact(body, self._secrets)
        if len(body) >= _ERROR_BODY_BYTES:
            clean = clean[: _ERROR_BODY_BYTES - 4096]  # a key that the limit cut in two is in this part
        message = redact_text(error_message(clean, self._name, upstream.status), self._secrets)
        self.last_error = ProviderError(upstream.status, message)
        response = web.Response(status=upstream.status, headers=self._headers(upstream), body=clean)
        if is_overload(upstream.status, clean) and not self.patience.is_limited_to_none:
            raise _Overloaded(response, retry_after(upstream.headers))
        return response

    async def _relay(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        upstream: aiohttp.ClientResponse,
        reservation: Reservation,
    ) -> web.StreamResponse:
        is_stream = upstream.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        meter = Meter(endpoint.wire, reservation.model, is_stream=is_stream)
        answer = AnswerStream(endpoint.wire, self._name) if is_stream else None
        redactor = Redactor(self._secrets)
        response = web.StreamResponse(status=upstream.status, headers=self._headers(upstream))
        self.last_error = None
        self.patience.answered()
        try:
            await response.prepare(request)
            async for chunk in chunks(upstream):
                meter.feed(chunk)
                if clean := redactor.feed(answer.feed(chunk) if answer else chunk):
                    await response.write(clean)
            await response.write(redactor.feed(answer.end() if answer else b"") + redactor.end())
        except ResponseCut:
            self.last_error = ProviderError(None, f"{self._name} broke off in the middle of its answer.")
            abort(request)
        except ConnectionResetError:
            pass  # the sandbox has disconnected
        finally:
            meter.end()
            if answer is not None and answer.fault is not None:
                self.last_error = self._fault_in_answer(f"{answer.fault}.")
            if meter.error is not None:
                self.last_error = self._fault_in_answer(f"reported an error in its answer: {meter.error}")
            await self._settle(reservation, meter)
        return response

    def _fault_in_answer(self, predicate: str) -> ProviderError:
        return ProviderError(None, redact_text(f"{self._name} {predicate}", self._secrets)[:1000])

    async def _settle(self, reservation: Reservation, meter: Meter | None) -> None:
        usage = settle(self.budget, reservation, meter)
        if usage is not None and inspect.isawaitable(reporting := self._on_usage(usage)):
            await reporting
