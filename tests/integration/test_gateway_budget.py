"""The gateway keeps a task's budget: over its real socket, in front of real HTTP servers, for all three providers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agentcontainer.domain.execution import model as execution
from agentcontainer.domain.models import prices
from agentcontainer.gateway import scripted
from agentcontainer.gateway.app import Gateway, provider_client
from agentcontainer.gateway.budget import LAST_OUTPUT, Budget
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.title import MAX_TITLE_CHARACTERS, write_title
from agentcontainer.gateway.usage import Usage

from .test_gateway import KEY, provider_that, sse

MODELS: dict[str, str] = {
    "anthropic": "claude-sonnet-4-6",
    "openai": "gpt-5.2",
    "openrouter": "anthropic/claude-sonnet-4.6",
}
WIRES: dict[str, tuple[str, str, str]] = {
    # incoming path: provider, the base URL's path, the field that limits the output
    "/anthropic/v1/messages": ("anthropic", "", "max_tokens"),
    "/openai/v1/responses": ("openai", "/v1", "max_output_tokens"),
    "/openrouter/api/v1/chat/completions": ("openrouter", "/api/v1", "max_tokens"),
    "/openrouter/api/v1/v1/messages": ("openrouter", "/api/v1", "max_tokens"),
}
MESSAGES = "/anthropic/v1/messages"
FOR_ONE = 6000  # tokens: a request with a short text fits, with a lowered output; a long one does not
LONG = "word " * 2000


class Inside:
    """What a sandbox has, and the budget outside. `usage` is what the gateway reported."""

    def __init__(self, gateway: Gateway, http: aiohttp.ClientSession, usage: list[Usage]) -> None:
        self.gateway = gateway
        self.budget = gateway.budget
        self.http = http
        self.usage = usage

    def request(self, path: str, text: str = "Hello.", **fields: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        body = {"model": MODELS[WIRES[path][0]], "input" if "/responses" in path else "messages": messages}
        return self.http.post(path, json=body | fields)

    async def answer(self, path: str, text: str = "Hello.", **fields: Any) -> tuple[int, str]:
        async with self.request(path, text, **fields) as response:
            return response.status, await response.text()


@asynccontextmanager
async def inside(
    url: str, folder: Path, path: str = MESSAGES, *, used_tokens: int = 0, **limits: int
) -> AsyncIterator[Inside]:
    provider, base, _ = WIRES[path]
    usage: list[Usage] = []
    budget = Budget(execution.Budget(**limits), lambda model: prices.find(provider, model, None), used_tokens)
    socket = folder / "gateway.sock"
    async with provider_client() as client:
        route = Route(provider, url + base, frozenset({MODELS[provider]}), KEY)
        gateway = Gateway(route, socket, usage.append, client, budget=budget)
        await gateway.start()
        connector = aiohttp.UnixConnector(str(socket), limit=0)
        try:
            async with aiohttp.ClientSession("http://gateway", connector=connector) as http:
                yield Inside(gateway, http, usage)
        finally:
            await gateway.close()


@pytest.fixture
async def model() -> AsyncIterator[scripted.ScriptedModel]:
    async with await scripted.serve() as running:
        yield running


@pytest.mark.parametrize("path", WIRES)
async def test_the_request_that_would_pass_the_limit_is_refused_in_the_providers_shape(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with inside(model.url, short_dir, path, max_tokens=FOR_ONE) as sandbox:
        assert (await sandbox.answer(path))[0] == 200
        async with sandbox.request(path, LONG) as response:
            answer = await response.json()
            assert response.status == 403
            assert response.headers["x-should-retry"] == "false"
        error = answer["error"]
        assert "out of budget" in error["message"]
        assert (answer.get("type") == "error") == path.endswith("messages")
        assert sandbox.budget.is_exceeded
        assert len(model.requests) == 1
        assert (await sandbox.answer(path))[0] == 403  # even a request that would fit


@pytest.mark.parametrize("path", WIRES)
async def test_an_output_that_does_not_fit_is_lowered_in_what_is_sent_on(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    field = WIRES[path][2]
    async with inside(model.url, short_dir, path, max_tokens=100_000) as sandbox:
        assert (await sandbox.answer(path))[
            0
        ] == 200  # without an output limit: the model's maximum would not fit
        assert 10_000 < model.requests[-1].body[field] < 50_000
        assert (await sandbox.answer(path, **{field: 120_000}))[0] == 200
        assert 10_000 < model.requests[-1].body[field] < 50_000
        assert (await sandbox.answer(path, **{field: 300}))[0] == 200
        assert model.requests[-1].body[field] == 300


@pytest.mark.parametrize("path", WIRES)
async def test_where_the_models_own_output_fits_nothing_is_changed(
    path: str, model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with inside(model.url, short_dir, path, max_tokens=10**7) as sandbox:
        assert (await sandbox.answer(path))[0] == 200
        assert (
            not {"max_tokens", "max_output_tokens", "max_completion_tokens"} & model.requests[-1].body.keys()
        )


async def test_thinking_stays_below_the_lowered_output(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 32_000}
    async with inside(model.url, short_dir, max_tokens=30_000) as sandbox:
        await sandbox.answer(MESSAGES, max_tokens=64_000, thinking=thinking)
        sent = model.requests[-1].body
        assert 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"]
    async with inside(model.url, short_dir, max_tokens=5000) as sandbox:
        await sandbox.answer(MESSAGES, max_tokens=64_000, thinking=thinking)
        assert "thinking" not in model.requests[-1].body


async def test_an_output_limit_that_is_no_number_is_refused(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with inside(model.url, short_dir, max_tokens=10**6) as sandbox:
        for value in (1e9, "many", True, 0, -1, None):
            assert (await sandbox.answer(MESSAGES, max_tokens=value))[0] == 400
        assert not sandbox.budget.is_exceeded
    assert not model.requests


async def test_with_several_requests_in_flight_the_limit_is_never_passed(
    short_dir: Path,
) -> None:
    """Each answer uses all that it may. Some requests wait for others, and the total stays within the limit."""
    at_once = most_at_once = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal at_once, most_at_once
        request_body = await request.json()
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0.2)
        at_once -= 1
        usage = {"input_tokens": 500, "output_tokens": request_body["max_tokens"]}
        return web.json_response({"type": "message", "content": [], "usage": usage})

    async with provider_that(handler) as url, inside(url, short_dir, max_tokens=20_000) as sandbox:
        answers = await asyncio.gather(*(sandbox.answer(MESSAGES, max_tokens=3000) for _ in range(12)))
        statuses = [status for status, _ in answers]
        assert 3 <= statuses.count(200) < 12
        assert set(statuses) == {200, 403}
        assert most_at_once > 1
        assert sum(usage.input_tokens + usage.output_tokens for usage in sandbox.usage) <= 20_000


async def test_the_cost_of_each_answer_is_reported_and_limited(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with inside(model.url, short_dir, max_cost_micro_usd=100_000) as sandbox:
        for _ in range(100):
            if (await sandbox.answer(MESSAGES, "word " * 500, max_tokens=100))[0] != 200:
                break
        price = prices.find("anthropic", MODELS["anthropic"], None)
        assert price is not None
        for usage in sandbox.usage:
            assert usage.cost_micro_usd == price.cost(
                usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens
            )
        assert sandbox.budget.is_exceeded
        assert 50_000 < sum(usage.cost_micro_usd for usage in sandbox.usage) <= 100_000


async def test_usage_of_earlier_attempts_counts(model: scripted.ScriptedModel, short_dir: Path) -> None:
    async with inside(model.url, short_dir, max_tokens=100_000, used_tokens=99_000) as sandbox:
        assert (await sandbox.answer(MESSAGES))[0] == 403
    assert not model.requests


@pytest.mark.parametrize("is_hung_up", [True, False])
async def test_a_response_without_usage_counts_as_its_maximum(short_dir: Path, is_hung_up: bool) -> None:
    """Anthropic reports the input tokens first. Then the sandbox disconnects, or the provider breaks off."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        start = {"type": "message_start", "message": {"usage": {"input_tokens": 700, "output_tokens": 1}}}
        await response.write(f"data: {json.dumps(start)}\n\n".encode())
        await asyncio.sleep(0.05)
        if is_hung_up:
            await asyncio.sleep(60)
        assert request.transport is not None
        request.transport.close()
        return response

    async with provider_that(handler) as url, inside(url, short_dir, max_tokens=100_000) as sandbox:
        async with sandbox.request(MESSAGES, max_tokens=5000, stream=True) as response:
            await response.content.readany()
            if not is_hung_up:
                with pytest.raises(aiohttp.ClientError):
                    await response.read()
            else:
                response.close()
        await _until(lambda: bool(sandbox.usage))
        usage = sandbox.usage[0]
        assert (usage.input_tokens, usage.output_tokens, usage.unreported_tokens) == (700, 1, 4999)
        assert sandbox.budget.used_tokens == 5700


async def test_a_response_that_the_sandbox_did_not_wait_for_is_counted(short_dir: Path) -> None:
    arrived = asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        raise AssertionError

    async with provider_that(handler) as url, inside(url, short_dir, max_tokens=100_000) as sandbox:
        asking = asyncio.create_task(sandbox.answer(MESSAGES, max_tokens=5000))
        await asyncio.wait_for(arrived.wait(), 30)
        asking.cancel()
        await _until(lambda: bool(sandbox.usage))
        assert sandbox.usage[0].input_tokens == 0
        assert sandbox.budget.used_tokens == sandbox.usage[0].unreported_tokens > 5000


@pytest.mark.parametrize("status", [307, 400, 429, 500])
async def test_a_request_that_the_provider_refused_costs_nothing(short_dir: Path, status: int) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=status)

    async with provider_that(handler) as url, inside(url, short_dir, max_tokens=FOR_ONE) as sandbox:
        for _ in range(5):
            assert (await sandbox.answer(MESSAGES))[0] == (502 if status == 307 else status)
        assert (sandbox.budget.used_tokens, sandbox.usage) == (0, [])


async def test_exactly_one_short_last_request_passes(model: scripted.ScriptedModel, short_dir: Path) -> None:
    async with inside(model.url, short_dir, max_tokens=8000) as sandbox:
        assert (await sandbox.answer(MESSAGES, LONG))[0] == 403
        sandbox.budget.allow_last()
        answers = await asyncio.gather(*(sandbox.answer(MESSAGES, LONG, max_tokens=64_000) for _ in range(3)))
        assert sorted(status for status, _ in answers) == [200, 403, 403]
        assert [received.body["max_tokens"] for received in model.requests] == [LAST_OUTPUT]


async def test_an_image_counts_as_an_image_and_not_by_its_bytes(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
    content: list[Any] = [{"type": "image", "source": source}]
    async with inside(model.url, short_dir, max_tokens=50_000) as sandbox:
        body = {"model": MODELS["anthropic"], "messages": [{"role": "user", "content": content}]}
        async with sandbox.http.post(MESSAGES, json=body | {"max_tokens": 100}) as response:
            assert response.status == 200


async def test_with_a_budget_fallback_models_are_removed(
    model: scripted.ScriptedModel, short_dir: Path
) -> None:
    async with inside(model.url, short_dir, max_tokens=10**6) as sandbox:
        status, _ = await sandbox.answer(MESSAGES, fallbacks=[{"model": MODELS["anthropic"]}])
        assert status == 200
        assert "fallbacks" not in model.requests[-1].body


# Titles: the only request that does not come from the sandbox.


async def title_from(url: str, provider: str, budget: Budget, usage: list[Usage]) -> str | None:
    base = {"anthropic": "", "openai": "/v1", "openrouter": "/api/v1"}[provider]
    route = Route(provider, url + base, frozenset({MODELS[provider]}), KEY)
    async with provider_client() as client:
        return await write_title(
            route, client, budget, usage.append, MODELS[provider], "Count the sheep.\nAll of them."
        )


@pytest.mark.parametrize("provider", MODELS)
async def test_a_title_is_written_and_counted(provider: str, model: scripted.ScriptedModel) -> None:
    usage: list[Usage] = []
    budget = Budget(execution.Budget(max_tokens=10_000), lambda name: prices.find(provider, name, None))
    assert await title_from(model.url, provider, budget, usage) == "About: Count the sheep."
    assert usage[0].cost_micro_usd > 0
    assert budget.used_tokens == usage[0].input_tokens + usage[0].output_tokens > 0
    key = model.requests[-1].headers.get("x-api-key") or model.requests[-1].headers["authorization"]
    assert KEY in key


async def test_a_title_that_does_not_fit_into_the_budget_is_not_requested(
    model: scripted.ScriptedModel,
) -> None:
    budget = Budget(execution.Budget(max_tokens=2000))
    assert await title_from(model.url, "anthropic", budget, []) is None
    assert not model.requests
    assert not budget.is_exceeded


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('\n\n  **"Count sheep"**\nand more', "Count sheep"),
        ("a\x00b\tc\x1b[31m", "a b c [31m"),
        ("x" * 200, "x" * (MAX_TITLE_CHARACTERS - 1) + "…"),
        (f"Sell {KEY}", "Sell [redacted]"),
        ("  \n ", None),
        (None, None),
        (["odd"], None),
    ],
)
async def test_any_model_title_becomes_one_clean_line(text: Any, title: str | None) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"type": "message", "content": [{"type": "text", "text": text}]})

    async with provider_that(handler) as url:
        assert await title_from(url, "anthropic", Budget(), []) == title


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response({"error": {"message": "no"}}, status=500),
        web.Response(status=307, headers={"Location": "/elsewhere"}),
        web.Response(text="no JSON"),
        web.json_response([]),
        web.json_response({"content": {}}),
    ],
)
async def test_no_provider_response_makes_the_title_fail(answer: web.Response) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async with provider_that(handler) as url:
        assert await title_from(url, "anthropic", Budget(), []) is None
    assert await title_from(url, "anthropic", Budget(), []) is None  # the port is closed


async def _until(is_so: Any) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)
