"""Asks a model for a task's title: one small request of the platform's own, made outside the sandbox.

It passes the same admission and budget as the sandbox's requests, uses the same key and is counted the same way. It
never takes budget that the task needs: it does not wait, and if no title can be had the result is None.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from agentcontainer.gateway.admission import Admitted, admit
from agentcontainer.gateway.budget import Budget, Estimate, Reservation
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.provider_response import beginning, is_read_timeout, settle
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.request_metrics import Request, report
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.upstreams import Endpoint, Wire, main_endpoint, request_headers, url
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.printable import without_controls
from agentcontainer.redaction import encodings_of, redact
from agentcontainer.telemetry.tracing import ModelCall

MAX_TITLE_CHARACTERS = 80
_SECONDS = 60
_OUTPUT_TOKENS = 1024  # more than a title, because some models reason first
_PROMPT_CHARACTERS = 4000
_RESPONSE_BYTES = 256 * 1024
_PROMPT = (
    "Write a title for this task: at most 60 characters, in the language of the task, saying what is to be done. "
    "Answer with the title alone. Do not do the task.\n\n<task>\n{task}\n</task>"
)


async def write_title(
    route: Route,
    client: aiohttp.ClientSession,
    budget: Budget,
    on_usage: Callable[[Usage], Awaitable[None] | None],
    model: str,
    instructions: str,
    on_call: Callable[[ModelCall], None] | None = None,
) -> str | None:
    """A title for the task, written by `model`; None: it could not be had. `on_call` gets the request at its end."""
    if not route.has_usable_key:
        return None
    endpoint = main_endpoint(route.entry)
    prompt = _PROMPT.format(task=instructions[:_PROMPT_CHARACTERS])
    try:
        admitted = admit(endpoint.wire, _request(endpoint.wire, model, prompt), route.models)
        estimate = estimate_of(admitted, route.provider) if budget.is_limited else Estimate(model, 0, 0)
    except Refused:
        return None
    reservation = budget.reserve_aside(estimate)
    if reservation is None:
        return None
    request = _TitleRequest(route, endpoint, client, budget, reservation)
    meter, sent = Meter(endpoint.wire, model, is_stream=False), Request(route.answered_by, model)
    try:
        response = await request.send(admitted, route.api_key or "")
        meter.feed(response)
        meter.end()
        return _title_in(endpoint.wire, redact(response, encodings_of(route.api_key or "")))
    finally:
        if reservation.is_open:
            usage = sent.usage = settle(budget, reservation, meter)
            if usage is not None and inspect.isawaitable(reporting := on_usage(usage)):
                await reporting
        sent.meter, sent.outcome = meter, "ok" if meter.is_complete else "error"
        sent.interval.stop()
        report(on_call, route, admitted, sent)


def _request(wire: Wire, model: str, prompt: str) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    if wire == "openai-responses":
        return json.dumps({"model": model, "input": messages, "max_output_tokens": _OUTPUT_TOKENS}).encode()
    return json.dumps({"model": model, "messages": messages, "max_tokens": _OUTPUT_TOKENS}).encode()


@dataclass(frozen=True)
class _TitleRequest:
    route: Route
    endpoint: Endpoint
    client: aiohttp.ClientSession
    budget: Budget
    reservation: Reservation

    async def send(self, admitted: Admitted, key: str) -> bytes:
        """The response's body; empty if there is none. What the provider did not start to answer is released."""
        headers = request_headers(self.route.entry, self.endpoint, {"anthropic-version": "2023-06-01"}, key)
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self.client.post(
                    URL(url(self.endpoint, self.route.base_url, ""), encoded=True),
                    data=with_output(admitted, self.route.provider, _OUTPUT_TOKENS).body,
                    headers=headers,
                    allow_redirects=False,  # a redirect would send the key to another server
                    proxy=self.route.proxy,
                ) as response,
            ):
                if response.status != 200:
                    self.budget.release(self.reservation)
                    return b""
                return await beginning(response, _RESPONSE_BYTES)
        except (aiohttp.ClientError, TimeoutError) as error:
            if not is_read_timeout(error):
                self.budget.release(self.reservation)
            return b""


def _title_in(wire: Wire, response: bytes) -> str | None:
    """The first line of the text, without quotes and Markdown, at most `MAX_TITLE_CHARACTERS` long."""
    body = JsonObject.parse(response)
    text = _text_in(wire, body) if body else ""
    text = without_controls(text, keep="\n")
    lines = (line.strip(" \t\"'`*#“”„«»") for line in text.splitlines())
    line = next((line for line in lines if line), "")
    if len(line) > MAX_TITLE_CHARACTERS:
        line = line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"
    return line or None


def _text_in(wire: Wire, body: JsonObject) -> str:
    if wire == "openai-completions":
        choice = next(body.objects("choices"), None)
        message = choice.inner("message") if choice else None
        return (message.text("content") if message else None) or ""
    if wire == "openai-responses":
        messages = [item for item in body.objects("output") if item.get("type") == "message"]
        parts = [part for message in messages for part in message.objects("content")]
        return _joined(parts, "output_text")
    return _joined(body.objects("content"), "text")


def _joined(parts: Iterable[JsonObject], kind: str) -> str:
    return "".join(part.text("text") or "" for part in parts if part.get("type") == kind)
