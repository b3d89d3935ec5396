"""A gateway in front of real HTTP servers, and a client on its socket."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agentcontainer.gateway import scripted
from agentcontainer.gateway.app import Gateway, provider_client
from agentcontainer.gateway.request_body import Limits
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.usage import Usage
from agentcontainer.telemetry.tracing import ModelCall

KEY = "sk-real-0123456789abcdef"
MODEL = "the-model"
PATHS: dict[str, tuple[str, str, str]] = {
    # incoming path: provider, the base URL's path, the path at the provider
    "/anthropic/v1/messages": ("anthropic", "", "/v1/messages"),
    "/openai/v1/responses": ("openai", "/v1", "/v1/responses"),
    "/openrouter/api/v1/chat/completions": ("openrouter", "/api/v1", "/api/v1/chat/completions"),
    "/openrouter/api/v1/v1/messages": ("openrouter", "/api/v1", "/api/v1/messages"),
}
MESSAGES = "/anthropic/v1/messages"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Inside:
    """What a sandbox has: a client that reaches nothing but the gateway. `usage` is what the gateway reported."""

    def __init__(self, gateway: Gateway, socket: Path) -> None:
        self.gateway = gateway
        self.socket = socket
        self.usage: list[Usage] = []
        self.calls: list[ModelCall] = []
        self.retried: list[str] = []
        """What the provider did, for each repetition of a request."""
        self.http = aiohttp.ClientSession(
            "http://gateway", connector=aiohttp.UnixConnector(str(socket), limit=0), auto_decompress=False
        )

    def request(self, path: str = MESSAGES, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return self.http.post(path, json=body(path, **fields), headers=headers)

    async def answer(self, path: str = MESSAGES, **fields: Any) -> tuple[int, dict[str, Any]]:
        async with self.request(path, **fields) as response:
            return response.status, await response.json()


def body(path: str, prompt: str = "Hello.", **fields: Any) -> dict[str, Any]:
    field = "input" if "/responses" in path else "messages"
    return {"model": MODEL, field: [{"role": "user", "content": prompt}]} | fields


def script(*steps: dict[str, Any]) -> str:
    return f"Do.\n```script\n{json.dumps(steps)}\n```"


@asynccontextmanager
async def gateway_to(
    url: str,
    folder: Path,
    provider: str = "anthropic",
    key: str | None = KEY,
    proxy: str | None = None,
    **limits: Any,
) -> AsyncIterator[Inside]:
    socket = folder / "gateway.sock"
    async with provider_client() as client:
        gateway = Gateway(
            Route(provider, url, frozenset({MODEL, "the-weak-model"}), key, proxy),
            socket,
            lambda usage: inside.usage.append(usage),
            client,
            Limits(**limits),
            on_retry=lambda *_: inside.retried.append(
                gateway.last_error.clause(provider) if gateway.last_error else ""
            ),
            on_call=lambda call: inside.calls.append(call),
            captures_content=True,
        )
        await gateway.start()
        inside = Inside(gateway, socket)
        try:
            yield inside
        finally:
            await inside.http.close()
            await gateway.close()


@asynccontextmanager
async def provider_that(handler: Handler) -> AsyncIterator[str]:
    """A provider that answers every request by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def model() -> AsyncIterator[scripted.ScriptedModel]:
    async with await scripted.serve() as running:
        yield running


async def sse(request: web.Request, headers: dict[str, str] | None = None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | (headers or {}))
    await response.prepare(request)
    return response
