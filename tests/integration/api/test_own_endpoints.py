"""Endpoints of models that an account adds: what is stored, what may be named, and their test."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from agentcontainer.domain.accounts import service as accounts
from agentcontainer.errors import SettingsError

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-own-verysecret-0123456789abcd"
PATH = "/api/v1/provider-keys"
OLLAMA = {"baseUrl": "http://models.test:11434/v1", "api": "openai-completions"}
PRICE = {"input": 0.1, "output": 0.25, "cacheRead": 0.01, "cacheWrite": 0.1}


async def put(account: Account, name: str = "ollama", **body: Any) -> dict[str, Any]:
    answer = await account.send("PUT", f"{PATH}/{name}", json=OLLAMA | body)
    assert answer.status_code == 200, answer.text
    assert KEY not in answer.text
    return answer.json()


async def refusal(account: Account, name: str, body: dict[str, Any]) -> str:
    """The field that a PUT is refused for."""
    answer = await account.send("PUT", f"{PATH}/{name}", json=body)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "validation_error"), answer.text
    assert "secret" not in answer.text
    return error_of(answer)["details"][0]["path"]


async def test_an_endpoint_is_stored_with_its_address_protocol_and_price(
    bed: Bed, alice: Account, bob: Account
) -> None:
    stored = await put(alice, apiKey=KEY, price={"input": 0.1, "output": 0.25, "cacheRead": 0.01})
    expected = {
        "provider": "ollama",
        "last4": "abcd",
        "price": PRICE,
        "createdAt": stored["createdAt"],
    } | OLLAMA
    assert stored == expected
    assert (await alice.get(PATH)).json()["data"] == [stored]
    assert (await bob.get(PATH)).json()["data"] == []
    row = await bed.pool.fetchrow("SELECT * FROM provider_keys WHERE account_id = $1", alice.id)
    assert KEY.encode() not in row["ciphertext"]


async def test_a_put_replaces_the_whole_entry_so_that_no_key_goes_to_a_new_address(
    bed: Bed, alice: Account
) -> None:
    await put(alice, apiKey=KEY, price=PRICE)
    changed = await put(alice, baseUrl="https://elsewhere.example/v1/")
    assert (changed["baseUrl"], changed["last4"], changed["price"]) == (
        "https://elsewhere.example/v1",
        "",
        None,
    )
    opened = await accounts.open_provider_key(bed.pool, bed.vault, alice.id, "ollama")
    assert opened and opened.key is None

    await put(alice, apiKey=KEY)
    query = "UPDATE provider_keys SET base_url = 'https://elsewhere.example' WHERE account_id = $1"
    await bed.pool.execute(query, alice.id)
    with pytest.raises(SettingsError):
        await accounts.open_provider_key(bed.pool, bed.vault, alice.id, "ollama")


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("ollama", {"api": "openai-completions"}, "baseUrl"),
        ("ollama", {"baseUrl": "https://models.example"}, "api"),
        ("ollama", {"apiKey": KEY}, "baseUrl"),
        ("ollama", OLLAMA | {"api": "grpc"}, "api"),
        ("ollama", OLLAMA | {"baseUrl": "http://models.example/v1"}, "baseUrl"),
        ("ollama", OLLAMA | {"baseUrl": "https://10.0.0.1/v1"}, "baseUrl"),
        ("ollama", OLLAMA | {"baseUrl": "https://169.254.169.254/v1"}, "baseUrl"),
        ("ollama", OLLAMA | {"baseUrl": "https://user:secret@models.example"}, "baseUrl"),
        ("ollama", OLLAMA | {"baseUrl": "https://models.example?key=secret"}, "baseUrl"),
        ("ollama", OLLAMA | {"price": {"input": 1}}, "price.output"),
        ("ollama", OLLAMA | {"price": {"input": -1, "output": 1}}, "price.input"),
        ("offline", OLLAMA, "provider"),
        ("Ollama", OLLAMA, "provider"),
        ("openai", {}, "apiKey"),
        ("openai", {"apiKey": KEY, "baseUrl": "https://elsewhere.example"}, "baseUrl"),
        ("openai", {"apiKey": KEY, "api": "openai-responses"}, "api"),
        ("openai", {"apiKey": KEY, "price": PRICE}, "price"),
    ],
)
async def test_what_cannot_be_stored_is_refused_by_its_field(
    alice: Account, name: str, body: dict[str, Any], field: str
) -> None:
    assert await refusal(alice, name, body) == field
    assert (await alice.get(PATH)).json()["data"] == []


async def dispatch(account: Account, **overrides: Any) -> Any:
    body = {"instructions": "x", "overrides": {"provider": "ollama", "model": "qwen3:8b"} | overrides}
    return await account.post(f"/api/v1/agents/{AGENT}/tasks", body)


async def test_a_task_names_an_endpoint_of_its_own_account(bed: Bed, alice: Account, bob: Account) -> None:
    await put(alice)
    task = (await dispatch(alice, budget={"maxTokens": 50_000})).json()
    assert task["execution"]["provider"] == "ollama"
    assert (await dispatch(alice, model="claude-sonnet-4-6", weakModel="gpt-5.2")).status_code == 201

    for account, field, overrides in (
        (bob, "overrides.provider", {}),
        (alice, "overrides.provider", {"provider": "olama"}),
        (alice, "overrides.providerApiKey", {"providerApiKey": KEY}),
        (alice, "overrides.budget.maxCostUsd", {"budget": {"maxCostUsd": 1}}),
    ):
        answer = await dispatch(account, **overrides)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"] == field
        assert KEY not in answer.text
    await put(alice, price=PRICE)
    assert (await dispatch(alice, budget={"maxCostUsd": 1})).status_code == 201
    await put(alice, price={"input": 1000, "output": 1000})
    refused = await dispatch(alice, budget={"maxCostUsd": 1})
    assert refused.status_code == 400
    [detail] = error_of(refused)["details"]
    assert detail["path"] == "overrides.budget.maxCostUsd"
    least = re.search(r"give at least ([0-9.]+)$", detail["message"])
    assert least is not None, detail
    assert (await dispatch(alice, budget={"maxCostUsd": float(least[1])})).status_code == 201


async def test_an_agent_may_have_an_endpoint_as_its_default(alice: Account) -> None:
    defaults = {"provider": "ollama", "model": "qwen3:8b"}
    refused = await alice.post("/api/v1/agents", {"name": "Local", "defaults": defaults})
    assert error_of(refused)["details"][0]["path"] == "defaults.provider"
    await put(alice)
    agent = (await alice.post("/api/v1/agents", {"name": "Local", "defaults": defaults})).json()
    assert agent["currentVersion"]["defaults"]["provider"] == "ollama"
    task = await alice.post(f"/api/v1/agents/{agent['id']}/tasks", {"instructions": "x"})
    assert task.json()["execution"]["model"] == "qwen3:8b"


class Server:
    """A server of models on loopback, which the settings of these tests name."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.headers), await request.read()))
        if request.path.startswith("/redirect"):
            raise web.HTTPFound("http://127.0.0.1:9/stolen")
        if request.path.startswith("/page"):
            return web.Response(text="<h1>Log in</h1>", content_type="text/html")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path.startswith("/locked"):
            return web.json_response({"error": {"message": f"Incorrect API key {key}."}}, status=401)
        return web.json_response({"data": [{"id": "qwen3:8b"}], "key": key})


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def outcome_of(account: Account, name: str = "ollama", **body: Any) -> dict[str, Any]:
    answer = await account.post(f"{PATH}/{name}/test", body)
    assert answer.status_code == 200, answer.text
    assert KEY not in answer.text
    return answer.json()


async def test_the_test_makes_one_request_and_returns_the_answer_without_the_key(
    alice: Account, server: Server
) -> None:
    await put(alice, baseUrl=f"{server.url}/v1", apiKey=KEY)
    result = await outcome_of(alice)
    assert (result["isWorking"], result["status"], result["error"]) == (True, 200, None)
    assert "qwen3:8b" in result["answer"] and "[redacted]" in result["answer"]
    await outcome_of(alice, model="qwen3:8b")
    listed, asked = server.requests
    assert listed[:2] == ("GET", "/v1/models")
    assert listed[2]["Authorization"] == f"Bearer {KEY}"
    assert asked[:2] == ("POST", "/v1/chat/completions")
    assert (json.loads(asked[3])["model"], json.loads(asked[3])["max_tokens"]) == ("qwen3:8b", 16)


async def test_the_test_says_what_is_wrong_and_follows_no_redirect(alice: Account, server: Server) -> None:
    for path, sentence in (
        ("locked", "ollama answered 401: Incorrect API key [redacted]."),
        ("redirect", "ollama answered with a redirect, which is not followed."),
        ("page", "ollama answered with text/html instead of a model's answer."),
    ):
        await put(alice, baseUrl=f"{server.url}/{path}", apiKey=KEY)
        result = await outcome_of(alice)
        assert (result["isWorking"], result["error"]) == (False, sentence)
    await put(alice, baseUrl="http://127.0.0.1:9")
    assert (await outcome_of(alice))["error"] == "ollama cannot be reached."


async def test_tests_are_limited_and_need_an_entry(alice: Account, server: Server) -> None:
    missing = await alice.post(f"{PATH}/ollama/test", {})
    assert missing.status_code == 404
    await put(alice, baseUrl=server.url)
    answers = [await alice.post(f"{PATH}/ollama/test", {}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert error_of(answers[-1])["message"].startswith(
        "To test provider keys, this account may send 10 requests a minute. Try again in "
    )
    assert len(server.requests) == 10
