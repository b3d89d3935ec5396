"""What the gateway reports of each model request to the traces: the answer's facts, its texts, and never the key."""

import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agentcontainer.gateway import scripted

from .gateway_bed import KEY, MODEL, PATHS, gateway_to, provider_that, script

STEPS = script({"say": "I look.", "tools": [{"bash": "ls"}]})
TOOLS = [{"name": "bash", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize("path", [path for path in PATHS if "anthropic" in path or "openrouter" in path])
async def test_a_streamed_answer(short_dir: Path, path: str) -> None:
    provider, base, _ = PATHS[path]
    async with await scripted.serve() as model, gateway_to(model.url + base, short_dir, provider) as inside:
        async with inside.request(path, prompt=STEPS, stream=True, max_tokens=500) as response:
            await response.read()
        [call], [usage] = inside.calls, inside.usage
    assert call.tokens is not None
    assert (call.tokens.input, call.tokens.output) == (usage.input_tokens, usage.output_tokens)
    assert (call.model, call.error_type, call.is_stream, call.max_tokens) == (MODEL, None, True, 500)
    assert call.response_id is not None
    assert call.finish_reason in ("tool_use", "tool_calls")
    assert call.first_chunk_seconds is not None
    assert 0 < call.first_chunk_seconds <= call.interval.seconds
    [question] = json.loads(call.content.input_messages or "")
    assert (question["role"], question["parts"][0]["content"]) == ("user", STEPS)
    [answer] = json.loads(call.content.output_messages or "")
    text, tool = answer["parts"]
    assert text == {"type": "text", "content": "I look."}
    assert (tool["name"], tool["arguments"]) == ("bash", {"command": "ls"})


async def test_a_key_that_the_provider_repeats_is_removed(short_dir: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = {
            "id": f"id-{KEY}", "model": KEY, "type": "message", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": f"Your key is {KEY}."}],
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }  # fmt: skip
        return web.json_response(body)

    async with provider_that(answer) as url, gateway_to(url, short_dir) as inside:
        status, _ = await inside.answer(prompt=f"What is {KEY}?")
        [call] = inside.calls
    assert (status, call.error_type) == (200, None)
    assert call.content.output_messages is not None
    assert "Your key is" in call.content.output_messages
    assert KEY not in f"{call!r}{call.content.output_messages}{call.content.input_messages}"


async def test_errors_have_the_status_of_the_provider_or_the_outcome(short_dir: Path) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "No."}}, status=403)

    async with provider_that(refuse) as url, gateway_to(url, short_dir) as inside:
        await inside.answer()
        assert [call.error_type for call in inside.calls] == ["403"]
    async with gateway_to("http://127.0.0.1:1", short_dir) as inside:
        await inside.answer()
        [call] = inside.calls
        assert (call.error_type, call.tokens, call.server_port) == ("unavailable", None, 1)


async def test_nested_content_of_any_depth_breaks_no_request(short_dir: Path) -> None:
    content: object = "x"
    for _ in range(300):
        content = [{"type": "tool_result", "tool_use_id": "c", "content": content}]
    async with await scripted.serve() as model, gateway_to(model.url, short_dir) as inside:
        fields = {"messages": [{"role": "user", "content": content}]}
        async with inside.http.post("/anthropic/v1/messages", json={"model": MODEL, **fields}) as response:
            assert isinstance(response, aiohttp.ClientResponse)
        assert len(inside.calls) <= 1
