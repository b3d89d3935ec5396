"""The model gateway of one attempt: an HTTP server on a Unix socket, through which a sandbox uses its provider.

It runs outside the sandbox. It checks each request (admission.py), reserves its cost in the budget (budget.py), adds
the provider key, and relays the response (relay.py).
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from yarl import URL

from agentcontainer.gateway.admission import Admitted, admit
from agentcontainer.gateway.budget import Budget, Estimate, Reservation
from agentcontainer.gateway.faults import Faults, ProviderError, Unavailable
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.patience import Outage, Patience
from agentcontainer.gateway.provider_response import (
    is_read_timeout,
    is_refused_here,
    settle,
    unreachable,
)
from agentcontainer.gateway.refusal import Refused, error_body
from agentcontainer.gateway.relay import Relay
from agentcontainer.gateway.request_body import BodyReader, Limits
from agentcontainer.gateway.request_metrics import Request, answer_content, measured, report
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.upstreams import (
    ENDPOINTS,
    Endpoint,
    Wire,
    endpoints_of,
    request_headers,
    url,
)
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.providers import PROVIDERS
from agentcontainer.redaction import encodings_of
from agentcontainer.sandbox.http_socket import SandboxSocket
from agentcontainer.telemetry.tracing import ModelCall

_LARGE_BODY = 256 * 1024
# Pi does not retry a request whose error says "out of budget".
OUT_OF_BUDGET = "This task is out of budget: its model requests have used what they may use."


def provider_client() -> aiohttp.ClientSession:
    """The HTTP client that gateways share: no cookies, no connection limit, no decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


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
        on_call: Callable[[ModelCall], None] | None = None,
        *,
        captures_content: bool = False,
    ) -> None:
        """`on_call` gets each request that was sent, at its end; with its texts if `captures_content`."""
        self.budget = budget or Budget()
        """What its requests may use; unlimited by default."""
        self.patience = patience or Patience()
        """How long requests wait for a provider that is overloaded or unavailable; not at all by default."""
        self.is_ended_by_outage = False
        """Whether a request that has waited as long as it may gets no answer, because the attempt ends."""
        self._is_over = False
        self._on_retry = on_retry
        self._on_call = on_call
        self._captures_content = captures_content
        self._route = route
        self._entry = route.entry
        self._name = route.name
        self._endpoints = {**ENDPOINTS, **endpoints_of(self._entry)}
        self._socket_path = socket_path
        self._on_usage = on_usage
        self._client = client
        self._limits = limits or Limits()
        self._secrets = encodings_of(route.api_key) if route.api_key else ()
        self._faults = Faults(self._name, self._secrets)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._bodies = BodyReader(self._limits)
        self._parsing = asyncio.Lock()
        self._socket = SandboxSocket(self._handle, self._limits.connections, lingering_seconds=2)

    @property
    def last_error(self) -> ProviderError | None:
        """The error of the latest response; None once a response begins with content."""
        return self._faults.latest

    async def start(self) -> None:
        """Listen on the socket."""
        await self._socket.open(self._socket_path)

    def refuse_new(self) -> None:
        """Refuse every request from now on, because the attempt has ended: nobody would use its answer."""
        self._is_over = True

    async def close(self) -> None:
        """Cancel the requests that are in flight, report their usage and remove the socket; idempotent."""
        if self._socket.refuse_new():
            for task in self._in_flight:
                task.cancel()
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=5)
            await self._socket.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = self._endpoints.get(request.path)
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
        if self._is_over:
            raise Refused(403, "The task has ended.")
        if endpoint is None:
            raise Refused(404, "The model gateway has no such path.")
        if request.method != "POST":
            raise Refused(405, "The model gateway accepts POST only.")
        if endpoint.provider != self._route.provider:
            other = PROVIDERS[endpoint.provider].title
            raise Refused(403, f"This task's models are {self._name}'s, not {other}'s.")
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
                    except Unavailable as failure:
                        if await self._wait(failure):
                            continue
                        if isinstance(failure.answer, Refused):
                            raise failure.answer from None
                        return failure.answer
        finally:
            self._in_flight.discard(task)

    async def _try(
        self, request: web.BaseRequest, endpoint: Endpoint, admitted: Admitted, key: str
    ) -> web.StreamResponse:
        admitted, reservation = await self._reserve(admitted)
        answer = answer_content(admitted) if self._captures_content else None
        sent = Request(self._route.answered_by, admitted.model, answer)
        try:
            with measured(sent):
                return await self._forward(request, endpoint, admitted, key, reservation, sent)
        finally:
            if reservation.is_open:  # the sandbox disconnected, or the provider did not answer in time
                await self._settle(sent, reservation, None)
            report(self._on_call, self._route, admitted, sent)

    async def _wait(self, failure: Unavailable) -> bool:
        """Wait before a request is repeated; False: it has waited as long as it may."""
        seconds = self.patience.wait_seconds(failure.retry_after)
        if seconds is not None:
            if self._on_retry is not None:
                self._on_retry(self.patience.failures, seconds)
            await asyncio.sleep(seconds)
            return True
        if self.is_ended_by_outage and not self.patience.is_limited_to_none:
            self.report_outage(failure.retry_after)
            await asyncio.Event().wait()  # until the gateway is closed
        return False

    def report_outage(self, retry_after_seconds: float = 0.0) -> None:
        """Record that requests have waited for the provider as long as they may."""
        clause = self.last_error.clause(self._route.provider) if self.last_error else ""
        self.patience.report(Outage(clause, retry_after_seconds))

    async def _admit(self, endpoint: Endpoint, body: bytes) -> tuple[Admitted, str]:
        provider, key = self._route.provider, self._route.api_key or ""
        if not self._route.has_usable_key:
            fault = f"The API key for {provider} is malformed" if key else f"No API key for {provider}"
            message = (
                f"{fault}: set one with PUT /api/v1/provider-keys/{provider} or overrides.providerApiKey."
            )
            self._faults.latest = ProviderError(401, message)
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
        sent: Request,
    ) -> web.StreamResponse:
        target = URL(url(endpoint, self._route.base_url, request.query_string), encoded=True)
        silence = self._limits.silence_seconds
        try:
            upstream = await self._client.post(
                target,
                data=admitted.body,
                headers=request_headers(self._entry, endpoint, request.headers, key),
                allow_redirects=False,  # a redirect would send the key to another server
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=silence),
                proxy=self._route.proxy,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            if is_read_timeout(error):
                raise self._faults.unavailable("did not answer.") from None
            self.budget.release(reservation)
            if is_refused_here(error):
                raise self._faults.refused(f"{unreachable(error)}.") from None
            raise self._faults.unavailable(f"{unreachable(error)}.") from None
        async with upstream:
            relay = Relay(
                upstream,
                endpoint.wire,
                reservation,
                name=self._name,
                secrets=self._secrets,
                faults=self._faults,
                budget=self.budget,
                patience=self.patience,
                settle=partial(self._settle, sent),
                on_bytes=sent.take,
                on_end=sent.stop,
            )
            if upstream.status >= 400:
                sent.error_status = upstream.status
            response = await relay.answer(request, is_stream=admitted.is_stream)
            sent.is_failed = self.last_error is not None
            return response

    async def _settle(self, sent: Request, reservation: Reservation, meter: Meter | None) -> None:
        usage = sent.usage = settle(self.budget, reservation, meter)
        sent.meter = meter
        if usage is not None and inspect.isawaitable(reporting := self._on_usage(usage)):
            await reporting
