"""Limits of what one sandbox can use of the gateway: bodies, connections, time."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agentcontainer.gateway import scripted
from agentcontainer.gateway.usage import Usage

from .gateway_bed import (
    MESSAGES,
    MODEL,
    body,
    gateway_to,
    model,
    provider_that,
    script,
    sse,
)

__all__ = ["model"]  # the fixture


async def test_large_bodies_are_refused_declared_or_not(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000

    async with gateway_to(model.url, short_dir, body_bytes=100_000) as inside:
        for data in (b"x" * 1_000_000, endless()):
            with contextlib.suppress(aiohttp.ClientOSError):  # refused while we were still sending
                async with inside.http.post(MESSAGES, data=data) as response:
                    assert response.status == 413
                    assert "100000 bytes" in (await response.json())["error"]["message"]
        assert (await inside.answer(prompt="x" * 90_000))[0] == 200
    assert len(model.requests) == 1


async def test_a_large_request_is_forwarded_whole(model: scripted.ScriptedModel, short_dir: Path) -> None:
    prompt = "long, " * 100_000 + "äöü\U0001f600"
    async with gateway_to(model.url, short_dir) as inside:
        assert (await inside.answer(prompt=prompt))[0] == 200
    assert model.requests[-1].body["messages"][0]["content"] == prompt


async def test_bodies_in_flight_are_bounded_together(model: scripted.ScriptedModel, short_dir: Path) -> None:
    async with gateway_to(model.url, short_dir, bytes_in_flight=100_000) as inside:
        slow = "x" * 60_000 + "\n" + script({"hang": 1}, {"say": "ok"})
        answers = await asyncio.gather(*(inside.answer(prompt=slow) for _ in range(2)))
        assert sorted(status for status, _ in answers) == [200, 429]
        assert (await inside.answer(prompt=slow))[0] == 200


async def test_compressed_and_slow_requests_are_refused(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with gateway_to(model.url, short_dir, body_seconds=0.2) as inside:
        bomb = gzip.compress(json.dumps(body(MESSAGES)).encode())
        async with inside.http.post(MESSAGES, data=bomb, headers={"Content-Encoding": "gzip"}) as response:
            assert response.status == 415
        reader, writer = await asyncio.open_unix_connection(str(inside.socket))
        writer.write(b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] == b"408"
        writer.close()
    assert not model.requests


async def test_concurrent_requests_are_limited(model: scripted.ScriptedModel, short_dir: Path) -> None:
    async with gateway_to(model.url, short_dir) as inside:
        slow = script({"hang": 0.5}, {"say": "ok"})
        answers = await asyncio.gather(*(inside.answer(prompt=f"{number}. {slow}") for number in range(20)))
        assert sorted(status for status, _ in answers) == [200] * 16 + [429] * 4
        assert (await inside.answer())[0] == 200


async def test_idle_connections_are_limited(model: scripted.ScriptedModel, short_dir: Path) -> None:
    async with gateway_to(model.url, short_dir, connections=5) as inside:
        opened = [await asyncio.open_unix_connection(str(inside.socket)) for _ in range(8)]
        closed = 0
        for reader, _ in opened:
            with contextlib.suppress(TimeoutError):
                closed += await asyncio.wait_for(reader.read(1), 0.1) == b""
        assert closed == 3
        for _, writer in opened:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await inside.answer())[0] == 200


async def test_a_request_is_cancelled_at_the_provider_when_the_sandbox_disconnects(short_dir: Path) -> None:
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
        await response.write(f"data: {json.dumps(start)}\n\n".encode())
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        async with inside.request(stream=True) as response:
            await response.content.readany()
            response.close()
        await asyncio.wait_for(ended.wait(), 30)
        assert inside.usage == [Usage(MODEL, 5, 1)]


async def test_close_cuts_what_is_open_and_reports_it(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
        await response.write(f"data: {json.dumps(start)}\n\n".encode())
        await asyncio.sleep(30)
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        async with inside.request(stream=True) as response:
            await response.content.readany()
            await asyncio.wait_for(inside.gateway.close(), 20)
            assert inside.usage == [Usage(MODEL, 5, 1)]
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert not inside.socket.exists()
        await inside.gateway.close()
