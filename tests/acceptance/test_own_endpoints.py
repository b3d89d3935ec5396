"""Tasks on a server of one's own that speaks OpenAI's older protocol as Ollama and vLLM do, and on the two others."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentcontainer_client import ValidationFailed
from agentcontainer_client.inputs import TokenPriceInput
from tests.threaded_server import serving

from .conftest import Client, Platform, finish, script

KEY = "sk-own-0123456789abcdefghijklmnop"
# What Ollama reads of a request. A field of OpenAI's alone, such as `store`, is refused here.
FIELDS = {
    "model", "messages", "stream", "stream_options", "tools", "max_tokens", "temperature", "seed", "stop", "top_p",
    "response_format", "reasoning_effort", "tool_choice",
}  # fmt: skip
ROLES = {"system", "user", "assistant", "tool"}


class Server:
    """Checks each request as a strict server of one's own would, and lets the scripted model answer."""

    def __init__(self, scripted_url: str) -> None:
        self.keys: list[str | None] = []
        self.faults: list[str] = []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                own.keys.append(self.headers["Authorization"] or self.headers["x-api-key"])
                if self.path == "/v1/chat/completions":
                    own.check(json.loads(raw))
                headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
                request = urllib.request.Request(scripted_url + self.path, raw, headers)
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                    payload = answer.read()
                    self.send_response(200)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                    self.end_headers()
                    self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def check(self, body: dict[str, Any]) -> None:
        if unknown := set(body) - FIELDS:
            self.faults.append(f"unknown fields: {sorted(unknown)}")
        if roles := {message["role"] for message in body["messages"]} - ROLES:
            self.faults.append(f"unknown roles: {sorted(roles)}")

    def running(self) -> AbstractContextManager[str]:
        return serving(self._server)


@pytest.fixture
def server(scripted_url: str) -> Iterator[Server]:
    server = Server(scripted_url)
    with server.running():
        yield server


def run(client: Client, **overrides: Any) -> dict[str, Any]:
    steps = [{"bash": "echo made > out.txt"}, finish("out.txt")]
    chosen = {"provider": "mine", "model": "qwen3:8b", "budget": {"maxTokens": 1_000_000}}
    return client.run(script(*steps), overrides=chosen | overrides)


@pytest.mark.parametrize(
    ("api", "path", "key"),
    [("openai-completions", "/v1", None), ("openai-responses", "/v1", KEY), ("anthropic-messages", "", KEY)],
)
def test_a_task_runs_on_a_server_of_its_own_account(
    open_platform: Platform, server: Server, api: str, path: str, key: str | None
) -> None:
    client = open_platform.account(provider_keys=False)
    client.sdk.provider_keys.set("mine", key, base_url=server.url + path, api=api)
    task = run(client)
    assert (task["status"], task["completion"]) == ("finished", "complete"), task
    assert client.outputs(task["id"]) == {"out.txt": b"made\n"}
    assert task["tokenUsage"]["output_tokens"] > 0
    assert server.faults == []
    assert {(header or "").removeprefix("Bearer ") for header in server.keys} == {key or ""}
    assert KEY not in json.dumps(client.events(task["id"])) + open_platform.log()


def test_a_key_of_a_task_never_goes_to_an_own_endpoint_and_a_gone_endpoint_is_named(
    open_platform: Platform, server: Server
) -> None:
    client = open_platform.account()
    price = TokenPriceInput(input=1000, output=1000)
    keys = client.sdk.provider_keys
    keys.set("mine", base_url=f"{server.url}/v1", api="openai-completions", price=price)
    first = script({"bash": "hibernate --message wait --for 1h"}, finish())
    task_id = client.dispatch(first, overrides={"providerApiKey": KEY})
    client.wait(task_id, "hibernating")
    overrides = {"provider": "mine", "model": "qwen3:8b"}
    client.wake(task_id, provider="mine", model="qwen3:8b")
    client.wait(task_id)
    assert server.keys and set(server.keys) == {None}

    wordy = script({"bash": "head -c 40000 /dev/zero | tr '\\0' a"}, finish())
    limited = client.run(wordy, overrides=overrides | {"budget": {"maxCostUsd": 25}})
    assert limited["errorCode"] == "budget_exceeded"
    keys.delete("mine")
    with pytest.raises(ValidationFailed):
        client.dispatch("x", overrides=overrides)
