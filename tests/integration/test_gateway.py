"""The gateway over its real Unix socket, in front of real HTTP servers: the scripted model, and ones that misbehave."""

import asyncio
import gzip
import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agentcontainer.gateway import scripted
from agentcontainer.gateway.app import Gateway, provider_client
from agentcontainer.gateway.faults import ProviderError
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.usage import Usage

from .gateway_bed import (
    KEY,
    MESSAGES,
    MODEL,
    PATHS,
    Inside,
    body,
    gateway_to,
    model,
    provider_that,
    script,
    sse,
)

__all__ = ["model"]  # the fixture


@pytest.mark.parametrize("path", PATHS)
async def test_the_key_is_added_outside_and_only_allowed_headers_pass(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    provider, base, expected = PATHS[path]
    async with gateway_to(model.url + base, short_dir, provider) as inside:
        headers = {
            "Authorization": "Bearer sandbox",
            "x-api-key": "sandbox",
            "Cookie": "a=b",
            "anthropic-version": "2023-06-01",
            "x-forwarded-for": "1.2.3.4",
            "Accept-Encoding": "gzip",
        }
        async with inside.request(path + "?beta=true&x=1", headers) as response:
            assert response.status == 200, await response.text()
    received = model.requests[-1]
    assert (received.path, received.model) == (expected, MODEL)
    auth = {"x-api-key": KEY} if provider == "anthropic" else {"authorization": f"Bearer {KEY}"}
    assert {name: received.headers.get(name) for name in ("x-api-key", "authorization")} == {
        "x-api-key": None,
        "authorization": None,
    } | auth
    assert received.headers["accept-encoding"] == "identity"
    assert not {"cookie", "x-forwarded-for"} & received.headers.keys()
    assert ("anthropic-version" in received.headers) == path.endswith("messages")


async def test_usage_is_reported_before_the_event_after_which_an_agent_reads_no_further(
    short_dir: Path,
) -> None:
    has_disconnected = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        usage = {"prompt_tokens": 10, "completion_tokens": 7}
        await response.write(b'data: {"choices":[{"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\n')
        await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await asyncio.wait_for(has_disconnected.wait(), 60)
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir, "openrouter") as inside:
        async with inside.request("/openrouter/api/v1/chat/completions", stream=True) as response:
            async for line in response.content:
                if line == b"data: [DONE]\n":
                    break
            assert inside.usage == [Usage(MODEL, 10, 7)]
        has_disconnected.set()
    assert inside.usage == [Usage(MODEL, 10, 7)], "it is counted once"


async def test_a_chunk_arrives_before_the_provider_has_finished(short_dir: Path) -> None:
    first_was_read = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        await response.write(b"data: one\n\n")
        await asyncio.wait_for(first_was_read.wait(), 60)
        await response.write(b"data: two\n\n")
        return response

    async with (
        provider_that(handler) as url,
        gateway_to(url, short_dir) as inside,
        inside.request() as response,
    ):
        assert await asyncio.wait_for(response.content.readany(), 30) == b"data: one\n\n"
        first_was_read.set()
        assert await response.read() == b"data: two\n\n"


async def test_the_key_is_redacted_from_headers_and_across_chunks(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(
            request, {"x-request-id": f"r-{KEY}", "Set-Cookie": KEY, "openai-organization": "acme"}
        )
        for byte in f"data: {KEY} and {KEY[:9]}\n\n".encode():
            await response.write(bytes([byte]))
        return response

    async with (
        provider_that(handler) as url,
        gateway_to(url, short_dir) as inside,
        inside.request() as response,
    ):
        assert await response.text() == f"data: [redacted] and {KEY[:9]}\n\n"
        assert response.headers["x-request-id"] == "r-[redacted]"
        assert not {"Set-Cookie", "openai-organization"} & response.headers.keys()


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_key_is_the_providers_own_401_without_the_key(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    provider, base, _ = PATHS[path]
    key = "sk-invalid-0123456789"
    async with gateway_to(model.url + base, short_dir, provider, key) as inside:
        status, answer = await inside.answer(path)
        assert status == 401
        assert answer["error"]["message"] == "Incorrect API key provided: [redacted]."
        assert inside.gateway.last_error == ProviderError(401, "Incorrect API key provided: [redacted].")


async def test_the_key_does_not_pass_at_the_end_of_a_huge_error_body(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="x" * (64 * 1024 - len(KEY) // 2) + KEY)

    async with (
        provider_that(handler) as url,
        gateway_to(url, short_dir) as inside,
        inside.request() as response,
    ):
        assert response.status == 500
        assert KEY[:6] not in await response.text()
        assert inside.gateway.last_error == ProviderError(
            500, "Anthropic answered with status 500.", is_transient=True
        )


@pytest.mark.parametrize("key", [None, "", "two\r\nlines"])
async def test_without_a_usable_key_every_request_is_401_and_says_what_to_do(
    key: str | None, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with gateway_to(model.url, short_dir, "openrouter", key) as inside:
        status, answer = await inside.answer("/openrouter/api/v1/chat/completions")
        assert status == 401
        assert "set one with PUT /api/v1/provider-keys/openrouter or overrides.providerApiKey." in str(answer)
        assert inside.gateway.last_error == ProviderError(401, answer["error"]["message"])
    assert not model.requests


def test_a_route_shows_no_key() -> None:
    assert KEY not in repr(Route("openai", "http://x", frozenset(), KEY))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/openai/v1/responses", 403),
        ("POST", "/openrouter/api/v1/chat/completions", 403),
        ("GET", "/anthropic/v1/messages", 405),
        ("DELETE", "/anthropic/v1/messages", 405),
        ("GET", "/anthropic/v1/models", 404),
        ("POST", "/anthropic/v1/messages/batches", 404),
        ("POST", "/anthropic/v1/messages/count_tokens", 404),
        ("POST", "/anthropic/v1/files", 404),
        ("POST", "/anthropic/v1/../v1/messages/x", 404),
        ("POST", "/v1/messages", 404),
        ("POST", "/", 404),
        ("POST", "http://127.0.0.1:1/anthropic/v1/files", 404),
    ],
)
async def test_only_the_tasks_provider_is_reached(
    method: str, path: str, status: int, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with gateway_to(model.url, short_dir) as inside:
        reader, writer = await asyncio.open_unix_connection(str(inside.socket))
        request = json.dumps(body(MESSAGES))
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request)}\r\n\r\n{request}".encode()
        )
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()
        await writer.wait_closed()
    assert not model.requests


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"model":"other-model","messages":[]}', 403),
        ('{"model":"the-model","model":"other-model","messages":[]}', 400),
        ('{"model":"other-model","model":"the-model","messages":[]}', 400),
        ('{"model":"the-model","messages":[],"tools":[{"type":"web_search_20250305","name":"w"}]}', 400),
        ("not json", 400),
        ("", 400),
    ],
)
async def test_other_models_and_ambiguous_bodies_never_reach_the_provider(
    body: str, status: int, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with gateway_to(model.url, short_dir) as inside:
        async with inside.http.post(MESSAGES, data=body) as response:
            answer = await response.json()
            assert response.status == status
            assert answer["type"] == "error"
            assert answer["error"]["message"]
            assert response.headers["x-should-retry"] == "false"
        assert (await inside.answer(model="the-weak-model"))[0] == 200
    assert [received.model for received in model.requests] == ["the-weak-model"]


async def test_a_redirect_is_not_followed(short_dir: Path) -> None:
    requested: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requested.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        status, answer = await inside.answer()
        assert status == 502
        assert answer["error"]["message"] == "Anthropic answered with a redirect, which is not followed."
    assert requested == ["/v1/messages"]


async def test_a_compressed_answer_cannot_be_redacted_and_does_not_pass(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(KEY.encode()), headers={"Content-Encoding": "gzip"})

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        assert (await inside.answer())[0] == 502


async def test_an_unreachable_provider_is_named_and_its_address_is_not(short_dir: Path) -> None:
    async with gateway_to("http://127.0.0.1:9", short_dir) as inside:
        status, answer = await inside.answer()
        assert status == 502
        assert answer["error"]["message"] == "Anthropic cannot be reached."
        assert inside.gateway.last_error == ProviderError(
            None, "Anthropic cannot be reached.", is_transient=True
        )


async def test_a_silent_provider_times_out(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError("should be cancelled")

    async with provider_that(handler) as url, gateway_to(url, short_dir, silence_seconds=0.2) as inside:
        assert (await inside.answer())[1]["error"]["message"] == "Anthropic did not answer."


async def test_rate_limits_pass_with_their_retry_after(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
        return web.json_response(
            error, status=429, headers={"retry-after": "7", "anthropic-ratelimit-x": "1"}
        )

    async with (
        provider_that(handler) as url,
        gateway_to(url, short_dir) as inside,
        inside.request() as response,
    ):
        assert response.status == 429
        assert response.headers["retry-after"] == "7"
        assert response.headers["anthropic-ratelimit-x"] == "1"
        assert (await response.json())["error"]["message"] == "slow down"
        assert inside.gateway.last_error == ProviderError(429, "slow down", is_transient=True)


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_cut_by_the_provider_is_cut_for_the_agent(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    provider, base, _ = PATHS[path]
    async with gateway_to(model.url + base, short_dir, provider) as inside:
        async with inside.request(path, prompt=script({"cut": True}), stream=True) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert inside.gateway.last_error is not None
        assert "broke off in the middle" in inside.gateway.last_error.message
        # Anthropic reports the input tokens at the start, the others report all usage at the end.
        assert [use.input_tokens > 0 for use in inside.usage] == ([True] if path.endswith("messages") else [])
        assert (await inside.answer(path, prompt="again"))[0] == 200
        assert inside.gateway.last_error is None


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("path", PATHS)
async def test_usage_is_counted_before_the_response_ends(
    path: str, is_stream: bool, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    provider, base, _ = PATHS[path]
    prompt = script({"say": "First."}, {"say": "It is a fine day."})
    turns = [("user", prompt), ("assistant", "First."), ("user", "And then?")]
    field = "input" if path.endswith("responses") else "messages"
    messages = [{"role": role, "content": text} for role, text in turns]
    async with gateway_to(model.url + base, short_dir, provider) as inside:
        async with inside.request(path, stream=is_stream, **{field: messages}) as response:
            await response.read()
        (use,) = inside.usage
    total = len(json.dumps(model.requests[-1].body)) // 4  # this is how the scripted model counts
    cached = total - len("And then?") // 4 - 1
    assert use == Usage(MODEL, total, len("It is a fine day.") // 4, cache_read_tokens=cached)


async def test_cached_input_is_part_of_all_input(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        counts = {"input_tokens": 10, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 40}
        start = {"type": "message_start", "message": {"usage": counts | {"output_tokens": 1}}}
        delta = {"type": "content_block_delta", "delta": {"text": '"usage": {"output_tokens": 9999}'}}
        end = {"type": "message_delta", "usage": {"output_tokens": 77}}
        stream = "".join(
            f"event: {event['type']}\r\ndata: {json.dumps(event)}\r\n\r\n" for event in (start, delta, end)
        )
        for begin in range(0, len(stream), 7):
            await response.write(stream[begin : begin + 7].encode())
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        async with inside.request(stream=True) as response:
            await response.read()
        assert inside.usage == [Usage(MODEL, 550, 77, 500, 40)]


async def test_an_error_within_a_stream_is_remembered(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        error = {"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded, {KEY}."}}
        await response.write(f"event: error\ndata: {json.dumps(error)}\n\n".encode())
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        async with inside.request(stream=True) as response:
            assert "Overloaded, [redacted]." in await response.text()
        assert inside.gateway.last_error == ProviderError(
            None, "Anthropic reported an error in its answer: Overloaded, [redacted].", is_transient=True
        )


async def test_usage_may_be_taken_by_a_coroutine(model: scripted.ScriptedModel, short_dir: Path) -> None:
    usages: list[Usage] = []

    async def take(usage: Usage) -> None:
        await asyncio.sleep(0.01)
        usages.append(usage)

    async with provider_client() as client:
        route = Route("anthropic", model.url, frozenset({MODEL}), KEY)
        gateway = Gateway(route, short_dir / "s", take, client)
        await gateway.start()
        async with (
            Inside(gateway, short_dir / "s").http as http,
            http.post(MESSAGES, json=body(MESSAGES)) as response,
        ):
            assert response.status == 200
            await response.read()
        assert len(usages) == 1
        await gateway.close()


async def test_a_web_page_is_named_and_not_passed_on(short_dir: Path) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=f"<html>\n<b>Please log in, {KEY}</b>", content_type="text/html")

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        status, answer = await inside.answer()
        assert status == 502
        assert answer["error"]["message"] == (
            "Anthropic answered with text/html instead of a model's answer: <html> <b>Please log in, [redacted]</b>."
        )


async def test_an_empty_answer_is_an_error_although_its_tokens_count(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        event = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
        await response.write(f"event: message_delta\ndata: {json.dumps(event)}\n\n".encode())
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        async with inside.request(stream=True) as response:
            assert (await response.text()).startswith("event: error\n")
        assert inside.gateway.last_error == ProviderError(
            None, "Anthropic ended without an answer (end_turn)."
        )
        assert inside.usage == [Usage(MODEL, 0, 1)]


async def test_a_proxy_of_the_operator_is_used_and_its_refusal_is_named(short_dir: Path) -> None:
    seen: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        seen.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.json_response({"id": "msg_1"})

    async with provider_that(proxy) as url:
        through = url.replace("http://", "http://user:secret@")
        async with gateway_to("http://api.provider.invalid", short_dir, proxy=through) as inside:
            assert "secret" not in repr(inside.gateway._route)
            assert (await inside.answer())[0] == 200
            assert seen == [("http://api.provider.invalid/v1/messages", "Basic dXNlcjpzZWNyZXQ=")]
        async with gateway_to("https://api.provider.invalid", short_dir, proxy=through) as inside:
            status, answer = await inside.answer()
            sentence = "Anthropic cannot be reached: the proxy answered 404."  # aiohttp serves no CONNECT
            assert (status, answer["error"]["message"]) == (502, sentence)


async def test_after_the_end_of_the_attempt_no_request_reaches_the_provider(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with gateway_to(model.url, short_dir) as inside:
        assert (await inside.answer())[0] == 200
        inside.gateway.refuse_new()
        status, content = await inside.answer()
    assert (status, content["error"]["message"]) == (403, "The task has ended.")
    assert len(model.requests) == 1
