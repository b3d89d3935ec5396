"""Providers that are overloaded or away: what the gateway repeats, and what it names."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentcontainer.gateway.patience import Patience
from agentcontainer.gateway.usage import Usage

from .gateway_bed import KEY, MODEL, Handler, gateway_to, provider_that, sse


async def test_an_overloaded_provider_is_waited_for_as_long_as_it_says(short_dir: Path) -> None:
    answers = [(429, {"Retry-After": "0.4"}), (529, {}), (200, {})]
    times: list[float] = []

    async def handler(_: web.Request) -> web.StreamResponse:
        times.append(asyncio.get_running_loop().time())
        status, headers = answers[len(times) - 1]
        return web.json_response(
            {"error": {"message": "later"}} if status != 200 else {}, status=status, headers=headers
        )

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        inside.gateway.patience = Patience(30)
        async with inside.request() as response:
            assert response.status == 200
    assert times[1] - times[0] >= 0.4
    assert inside.gateway.last_error is None


async def test_a_request_that_waited_in_vain_ends_the_attempt_or_gets_the_providers_answer(
    short_dir: Path,
) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "later"}}, status=429, headers={"Retry-After": "3600"})

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        inside.gateway.patience = Patience(30)
        assert (await inside.answer())[0] == 429
        inside.gateway.is_ended_by_outage = True
        asking = asyncio.create_task(inside.answer())
        outage = await asyncio.wait_for(asyncio.shield(inside.gateway.patience.outage), 30)
        assert (outage.message, outage.retry_after_seconds, asking.done()) == (
            "anthropic answered 429: later",
            3600,
            False,
        )
        asking.cancel()


async def cut(request: web.Request) -> web.StreamResponse:
    """No answer: the connection closes."""
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


async def silence(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError("should be cancelled")


def status(code: int) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text="<html>Later.", content_type="text/html")

    return handler


def streamed(*events: dict[str, Any], is_cut: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        for event in events:
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if is_cut and request.transport is not None:
            request.transport.close()
        return response

    return handler


def whole(document: dict[str, Any]) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return handler


START = {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}}
BUSY = {"type": "error", "error": {"type": "overloaded_error", "message": f"busy, {KEY}"}}
HELLO = [
    START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hello."}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
]
TROUBLES: dict[str, tuple[Handler, str]] = {
    "500": (status(500), "answered 500"),
    "502": (status(502), "answered 502"),
    "504": (status(504), "answered 504"),
    "no answer": (cut, "Anthropic cannot be reached."),
    "silence": (silence, "Anthropic did not answer."),
    "error at the start of a stream": (streamed(START, BUSY), "error in its answer: busy, [redacted]"),
    "broken at the start of a stream": (streamed(START, is_cut=True), "at the beginning of its answer."),
    "error instead of a stream": (whole(BUSY), "error in its answer: busy, [redacted]"),
}


@pytest.mark.parametrize(("trouble", "words"), TROUBLES.values(), ids=TROUBLES)
async def test_a_request_is_repeated_without_the_agent_noticing(
    trouble: Handler, words: str, short_dir: Path
) -> None:
    handlers = [trouble, streamed(*HELLO)]

    async def handler(request: web.Request) -> web.StreamResponse:
        return await handlers.pop(0)(request)

    async with provider_that(handler) as url, gateway_to(url, short_dir, silence_seconds=1) as inside:
        inside.gateway.patience = Patience(30)
        async with inside.request(stream=True) as response:
            assert response.status == 200
            assert (await response.text()).count("message_start") == 2  # its name, and in the event
        assert inside.gateway.last_error is None
    assert [words in text for text in inside.retried] == [True], inside.retried


async def test_an_unreachable_provider_ends_the_attempt_once_waiting_was_in_vain(short_dir: Path) -> None:
    async with gateway_to("http://127.0.0.1:9", short_dir) as inside:
        inside.gateway.patience = Patience(0.2)
        assert (await inside.answer())[0] == 502
        inside.gateway.is_ended_by_outage = True
        asking = asyncio.create_task(inside.answer())
        outage = await asyncio.wait_for(asyncio.shield(inside.gateway.patience.outage), 30)
        assert (outage.message, asking.done()) == ("Anthropic cannot be reached.", False)
        asking.cancel()


async def test_a_document_instead_of_a_stream_is_named_and_its_tokens_count(short_dir: Path) -> None:
    document = {"type": "message", "id": KEY, "usage": {"input_tokens": 5, "output_tokens": 2}}
    async with provider_that(whole(document)) as url, gateway_to(url, short_dir) as inside:
        inside.gateway.patience = Patience(30)
        status, answer = await inside.answer(stream=True)
        assert status == 501  # a status that Pi does not take for a transient failure
        assert answer["error"]["message"].startswith(
            'Anthropic answered with one document instead of a stream: {"type": "message", "id": "[redacted]"'
        )
        assert inside.usage == [Usage(MODEL, 5, 2)]
