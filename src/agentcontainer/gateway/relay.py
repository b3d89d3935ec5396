"""Relays one response of a provider to the sandbox: checks its type, redacts the key, counts tokens, notes errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from agentcontainer.gateway.answer_stream import AnswerStream
from agentcontainer.gateway.budget import Budget, Reservation
from agentcontainer.gateway.faults import Faults, ProviderError, Unavailable
from agentcontainer.gateway.opening import Opening
from agentcontainer.gateway.overload import is_overload
from agentcontainer.gateway.patience import Patience, retry_after
from agentcontainer.gateway.provider_response import (
    ResponseCut,
    abort,
    beginning,
    chunks,
    continued,
    error_message,
    measured,
)
from agentcontainer.gateway.upstreams import (
    Wire,
    content_type,
    response_fault,
    response_headers,
    unexpected_type,
)
from agentcontainer.gateway.usage import Meter
from agentcontainer.redaction import Redactor, redact, redact_text

_ERROR_BODY_BYTES = 64 * 1024
_WHOLE_ANSWER_BYTES = 1024**2  # of an answer that came in one piece instead of a stream


@dataclass(frozen=True)
class Relay:
    """Relays the response `upstream` to a request with this reservation. `name`: the provider's."""

    upstream: aiohttp.ClientResponse
    wire: Wire
    reservation: Reservation
    name: str
    secrets: tuple[bytes, ...]
    faults: Faults
    budget: Budget
    patience: Patience
    settle: Callable[[Reservation, Meter | None], Awaitable[None]]
    on_bytes: Callable[[bytes], None]
    """Called with the bytes that the agent gets."""
    on_end: Callable[[str | None], None]
    """Called with the provider's reason for the end of a streamed answer."""

    async def answer(self, request: web.BaseRequest, *, is_stream: bool) -> web.StreamResponse:
        """Answer the request with the response. `is_stream`: the request asks for a stream.

        Raises:
            Refused: the response is no answer of a model.
            Unavailable: the request may be repeated.
        """
        if not 200 <= self.upstream.status < 300:
            self.budget.release(self.reservation)
        if fault := response_fault(self.upstream.status, self.upstream.headers):
            raise self.faults.refused(f"{fault}.")
        if self.upstream.status >= 400:
            return await self._send_error()
        if (kind := unexpected_type(self.upstream.headers)) is not None:
            page = self.faults.quoted(await beginning(self.upstream, 4096))
            raise self.faults.refused(f"answered with {kind} instead of a model's answer: {page}.")
        kind = content_type(self.upstream.headers)
        is_answer_stream = kind == "text/event-stream" or (is_stream and not kind)
        if is_stream and not is_answer_stream:
            raise await self._not_a_stream()
        return await self._send(request, is_stream=is_answer_stream)

    async def _not_a_stream(self) -> Exception:
        """The failure of a streamed request whose answer came in one piece. Its tokens count."""
        body = await beginning(self.upstream, _WHOLE_ANSWER_BYTES)
        meter = measured(Meter(self.wire, self.reservation.model, is_stream=False), body)
        if meter.error is None or meter.usage is not None:
            await self.settle(self.reservation, meter)
        else:
            self.budget.release(self.reservation)
        if meter.error is not None:
            predicate = f"reported an error in its answer: {meter.error}"
            if meter.is_overload:
                return self.faults.unavailable(predicate, retry_after(self.upstream.headers))
            return self.faults.refused(predicate, 400)
        document = self.faults.quoted(body)
        # 501: another answer like it would cost as much, so Pi must not repeat the request.
        return self.faults.refused(f"answered with one document instead of a stream: {document}", 501)

    def _headers(self) -> dict[str, str]:
        secrets = [secret.lower() for secret in self.secrets]
        return {
            name: redact_text(value, self.secrets)
            for name, value in response_headers(self.upstream.headers).items()
            if not any(secret in name.lower().encode(errors="replace") for secret in secrets)
        }

    async def _send_error(self) -> web.Response:
        body = await beginning(self.upstream, _ERROR_BODY_BYTES)
        clean = redact(body, self.secrets)
        if len(body) >= _ERROR_BODY_BYTES:
            clean = clean[: _ERROR_BODY_BYTES - 4096]  # a key that the limit cut in two is in this part
        message = redact_text(error_message(clean, self.name, self.upstream.status), self.secrets)
        is_transient = is_overload(self.upstream.status, clean)
        self.faults.latest = ProviderError(self.upstream.status, message, is_transient)
        response = web.Response(status=self.upstream.status, headers=self._headers(), body=clean)
        if is_transient:
            raise Unavailable(response, retry_after(self.upstream.headers))
        return response

    async def _open(self, source: AsyncIterator[bytes]) -> bytes:
        """The beginning of a streamed answer, up to its first content.

        Raises:
            Unavailable: it begins with an error that may be gone when the request is repeated, or breaks off.
        """
        opening = Opening(self.wire)
        try:
            await opening.read(source)
        except ResponseCut:
            meter = measured(Meter(self.wire, self.reservation.model, is_stream=True), opening.data)
            await self.settle(self.reservation, meter)
            raise self.faults.unavailable("broke off at the beginning of its answer.") from None
        if opening.overload is None:
            return opening.data
        self.budget.release(self.reservation)
        raise self.faults.unavailable(
            f"reported an error in its answer: {opening.overload}", retry_after(self.upstream.headers)
        )

    async def _send(self, request: web.BaseRequest, *, is_stream: bool) -> web.StreamResponse:
        source = chunks(self.upstream)
        beginning_of_stream = b""
        if is_stream and not self.patience.is_limited_to_none:
            beginning_of_stream = await self._open(source)
        meter = Meter(self.wire, self.reservation.model, is_stream=is_stream)
        answer = AnswerStream(self.wire, self.name) if is_stream else None
        redactor = Redactor(self.secrets)
        response = web.StreamResponse(status=self.upstream.status, headers=self._headers())
        self.faults.latest = None
        self.patience.start_over()
        try:
            await response.prepare(request)
            async for chunk in continued(beginning_of_stream, source):
                meter.feed(chunk)
                self._note_error(meter)  # before the agent reads it and stops
                if meter.is_at_end:
                    await self._settle(meter)  # the agent goes on at once, and disconnects
                if clean := redactor.feed(answer.feed(chunk) if answer else chunk):
                    self.on_bytes(clean)
                    await response.write(clean)
            last = redactor.feed(answer.end() if answer else b"") + redactor.end()
            self.on_bytes(last)
            await response.write(last)
            if meter.error is None:
                self.patience.answered()
        except ResponseCut:
            self.faults.note("broke off in the middle of its answer.")
            abort(request)
        except ConnectionResetError:
            pass  # the sandbox has disconnected
        finally:
            meter.end()
            self.on_end(answer.reason if answer else None)
            if answer is not None and answer.fault is not None:
                self.faults.note(f"{answer.fault}.")
            self._note_error(meter)
            await self._settle(meter)
        return response

    async def _settle(self, meter: Meter) -> None:
        """Settle the reservation, once."""
        if self.reservation.is_open:
            await self.settle(self.reservation, meter)

    def _note_error(self, meter: Meter) -> None:
        if meter.error is not None:
            predicate = f"reported an error in its answer: {meter.error}"
            self.faults.note(predicate, is_transient=meter.is_overload)
