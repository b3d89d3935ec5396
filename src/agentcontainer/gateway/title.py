"""A title for a task, written by a model: one small request of the platform's own, outside the sandbox.

It passes the same admission and budget, with the same key, as what the sandbox asks, and is counted the same way. It
never takes what the task needs: it waits for nothing, and a title that cannot be had is None.
"""

import asyncio
import inspect
import json
import unicodedata
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import aiohttp
from yarl import URL

from agentcontainer.domain.models.catalogue import Provider
from agentcontainer.gateway.admission import Refused, admit
from agentcontainer.gateway.app import Route
from agentcontainer.gateway.budget import Ask, Budget, Reservation
from agentcontainer.gateway.output_limit import ask_of, with_output
from agentcontainer.gateway.provider_response import UpstreamCut, beginning, is_silence, settled
from agentcontainer.gateway.upstreams import ENDPOINTS, Endpoint, Wire, outward_headers, url
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.redaction import encodings_of, redact

MAX_TITLE_CHARACTERS = 80
_SECONDS = 60
_OUTPUT_TOKENS = 1024  # a model that reasons needs more than the title's own
_SHOWN_CHARACTERS = 4000
_ANSWER_BYTES = 256 * 1024
_PATHS: dict[Provider, str] = {
    "anthropic": "/anthropic/v1/messages",
    "openai": "/openai/v1/responses",
    "openrouter": "/openrouter/api/v1/chat/completions",
}
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
) -> str | None:
    """The title that `model` gives the task; None: there is none to be had."""
    endpoint = ENDPOINTS[_PATHS[route.provider]]
    text = _PROMPT.format(task=instructions[:_SHOWN_CHARACTERS])
    if not route.api_key:
        return None
    with suppress(Refused):
        admitted = admit(
            endpoint.wire, json.dumps(_request(endpoint.wire, model, text)).encode(), route.models
        )
        ask = ask_of(admitted, route.provider) if budget.is_limited else Ask(model, 0, 0)
        reservation = budget.reserve_aside(ask)
        if reservation is None:
            return None
        body = with_output(admitted, route.provider, _OUTPUT_TOKENS).body
        meter = Meter(endpoint.wire, model, is_stream=False)
        try:
            answer = await _ask(route, endpoint, client, body, route.api_key, budget, reservation)
            meter.feed(answer)
            meter.end()
            return _title_in(endpoint.wire, redact(answer, encodings_of(route.api_key)))
        finally:
            if reservation.is_open:
                usage = settled(budget, reservation, meter)
                if usage is not None and inspect.isawaitable(told := on_usage(usage)):
                    await told
    return None


def _request(wire: Wire, model: str, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    if wire == "openai-responses":
        return {"model": model, "input": messages, "max_output_tokens": _OUTPUT_TOKENS}
    return {"model": model, "messages": messages, "max_tokens": _OUTPUT_TOKENS}


async def _ask(
    route: Route, endpoint: Endpoint, client: aiohttp.ClientSession, body: bytes, key: str, budget: Budget,
    reservation: Reservation,
) -> bytes:  # fmt: skip
    """The answer; empty when there is none."""
    headers = {"anthropic-version": "2023-06-01"}
    try:
        async with (
            asyncio.timeout(_SECONDS),
            client.post(
                URL(url(endpoint, route.base_url, ""), encoded=True),
                data=body,
                headers=outward_headers(endpoint, headers, key),
                allow_redirects=False,  # it would carry the key elsewhere
            ) as answer,
        ):
            if answer.status != 200:
                budget.release(reservation)
                return b""
            return await beginning(answer, _ANSWER_BYTES)
    except (aiohttp.ClientError, TimeoutError, UpstreamCut) as error:
        if not is_silence(error):
            budget.release(reservation)
        return b""


def _title_in(wire: Wire, answer: bytes) -> str | None:
    """The first line of the text, without quotes and marks, at most `MAX_TITLE_CHARACTERS` long."""
    text = ""
    with suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
        text = _text(wire, json.loads(answer))
    printable = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") and letter != "\n" else letter
        for letter in text
    )
    lines = (line.strip(" \t\"'`*#“”„«»") for line in printable.splitlines())
    line = next((line for line in lines if line), "")
    if len(line) > MAX_TITLE_CHARACTERS:
        line = line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"
    return line or None


def _text(wire: Wire, answer: Any) -> str:
    """All text of the answer, whose shape nobody promises: whatever it raises is caught."""
    if wire == "openai-completions":
        return str(answer["choices"][0]["message"]["content"] or "")
    parts: list[Any]
    if wire == "openai-responses":
        messages = [item for item in answer["output"] if item["type"] == "message"]
        parts = [part for message in messages for part in message["content"] if part["type"] == "output_text"]
    else:
        parts = [part for part in answer["content"] if part["type"] == "text"]
    return "".join(cast(str, part["text"]) for part in parts)
