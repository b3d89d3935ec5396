"""The model gateway of one attempt: an HTTP server on a Unix socket, through which a sandbox uses its provider.

It runs outside the sandbox. It checks each request (admission.py), reserves its cost in the budget (budget.py), adds
the provider key, and streams the response back without buffering, redacting the key and counting tokens.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from yarl import URL

from agentcontainer.gateway.admission import Admitted, admit
from agentcontainer.gateway.answer_stream import AnswerStream
from agentcontainer.gateway.budget import Budget, Estimate, Reservation
from agentcontainer.gateway.faults import Faults, ProviderError, Unavailable
from agentcontainer.gateway.opening import Opening
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.overload import is_overload
from agentcontainer.gateway.patience import Outage, Patience, retry_after
from agentcontainer.gateway.provider_response import (
    ResponseCut,
    abort,
    beginning,
    chunks,
    continued,
    error_message,
    is_read_timeout,
    is_refused_here,
    measured,
    settle,
    unreachable,
)
from agentcontainer.gateway.refusal import Refused, error_body
from agentcontainer.gateway.request_body import BodyReader, Limits
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.upstreams import (
    ENDPOINTS,
    Endpoint,
    Wire,
    content_type,
    endpoints_of,
    request_headers,
    response_fault,
    response_headers,
    unexpected_type,
    url,
)
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.providers import PROVIDERS
from agentcontainer.redaction import Redactor, encodings_of, redact, redact_text
from agentcontainer.sandbox.http_socket import SandboxSocket

_LARGE_BODY = 256 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_WHOLE_ANSWER_BYTES = 1024**2  # of an answer that came in one piece instead of a stream
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
    ) -> None:
        self.budget = budget or Budget()
        """What its requests may use; unlimited by default."""
        self.patience = patience or Patience()
        """How long requests wait for a provider that is overloaded or away; not at all by default."""
        self.is_ended_by_outage = False
        """Whether a request that has waited as long as it may gets no answer, because the attempt ends."""
        self._on_retry = on_retry
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
        try:
            return await self._forward(request, endpoint, admitted, key, reservation)
        finally:
            if reservation.is_open:  # the sandbox disconnected, or the provider did not answer in time
                await self._settle(reservation, None)

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
            if not 200 <= upstream.status < 300:
                self.budget.release(reservation)
            if fault := response_fault(upstream.status, upstream.headers):
                raise self._faults.refused(f"{fault}.")
            if upstream.status >= 400:
                return await self._relay_error(upstream)
            if (kind := unexpected_type(upstream.headers)) is not None:
                page = self._faults.quoted(await beginning(upstream, 4096))
                raise self._faults.refused(f"answered with {kind} instead of a model's answer: {page}.")
            kind = content_type(upstream.headers)
            is_stream = kind == "text/event-stream" or (admitted.is_stream and not kind)
            if admitted.is_stream and not is_stream:
                raise await self._not_a_stream(endpoint, upstream, reservation)
            return await self._relay(request, endpoint, upstream, reservation, is_stream=is_stream)

    async def _not_a_stream(
        self, endpoint: Endpoint, upstream: aiohttp.ClientResponse, reservation: Reservation
    ) -> Exception:
        """The failure of a streamed request whose answer came in one piece. Its tokens count."""
        body = await beginning(upstream, _WHOLE_ANSWER_BYTES)
        meter = measured(Meter(endpoint.wire, reservation.model, is_stream=False), body)
        if meter.error is None or meter.usage is not None:
            await self._settle(reservation, meter)
        else:
            self.budget.release(reservation)
        if meter.error is not None:
            predicate = f"reported an error in its answer: {meter.error}"
            if meter.is_overload:
                return self._faults.unavailable(predicate, retry_after(upstream.headers))
            return self._faults.refused(predicate, 400)
        document = self._faults.quoted(body)
        # 501: another answer like it would cost as much, so Pi must not repeat the request.
        return self._faults.refused(f"answered with one document instead of a stream: {document}", 501)

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
        is_transient = is_overload(upstream.status, clean)
        self._faults.latest = ProviderError(upstream.status, message, is_transient)
        response = web.Response(status=upstream.status, headers=self._headers(upstream), body=clean)
        if is_transient:
            raise Unavailable(response, retry_after(upstream.headers))
        return response

    async def _open(
        self,
        endpoint: Endpoint,
        upstream: aiohttp.ClientResponse,
        reservation: Reservation,
        source: AsyncIterator[bytes],
    ) -> bytes:
        """The beginning of a streamed answer, up to its first content.

        Raises:
            Unavailable: it begins with an error that may be gone when the request is repeated, or breaks off.
        """
        opening = Opening(endpoint.wire)
        try:
            await opening.read(source)
        except ResponseCut:
            meter = measured(Meter(endpoint.wire, reservation.model, is_stream=True), opening.data)
            await self._settle(reservation, meter)
            raise self._faults.unavailable("broke off at the beginning of its answer.") from None
        if opening.overload is None:
            return opening.data
        self.budget.release(reservation)
        raise self._faults.unavailable(
            f"reported an error in its answer: {opening.overload}", retry_after(upstream.headers)
        )

    async def _relay(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        upstream: aiohttp.ClientResponse,
        reservation: Reservation,
        *,
        is_stream: bool,
    ) -> web.StreamResponse:
        source = chunks(upstream)
        beginning_of_stream = b""
        if is_stream and not self.patience.is_limited_to_none:
            beginning_of_stream = await self._open(endpoint, upstream, reservation, source)
        meter = Meter(endpoint.wire, reservation.model, is_stream=is_stream)
        answer = AnswerStream(endpoint.wire, self._name) if is_stream else None
        redactor = Redactor(self._secrets)
        response = web.StreamResponse(status=upstream.status, headers=self._headers(upstream))
        self._faults.latest = None
        self.patience.start_over()
        try:
            await response.prepare(request)
            async for chunk in continued(beginning_of_stream, source):
                meter.feed(chunk)
                if clean := redactor.feed(answer.feed(chunk) if answer else chunk):
                    await response.write(clean)
            await response.write(redactor.feed(answer.end() if answer else b"") + redactor.end())
            if meter.error is None:
                self.patience.answered()
        except ResponseCut:
            self._faults.note("broke off in the middle of its answer.")
            abort(request)
        except ConnectionResetError:
            pass  # the sandbox has disconnected
        finally:
            meter.end()
            if answer is not None and answer.fault is not None:
                self._faults.note(f"{answer.fault}.")
            if meter.error is not None:
                predicate = f"reported an error in its answer: {meter.error}"
                self._faults.note(predicate, is_transient=meter.is_overload)
            await self._settle(reservation, meter)
        return response

    async def _settle(self, reservation: Reservation, meter: Meter | None) -> None:
        usage = settle(self.budget, reservation, meter)
        if usage is not None and inspect.isawaitable(reporting := self._on_usage(usage)):
            await reporting
