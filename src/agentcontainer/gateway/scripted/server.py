"""The HTTP server of the scripted model."""

import asyncio
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from aiohttp import web

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.scripted import anthropic, completions, responses
from agentcontainer.gateway.scripted.conversation import Conversation, Reply, Tokens, tokens_of
from agentcontainer.gateway.scripted.script import Cut, Director, Fail, ScriptError


class Wire(Protocol):
    """One wire protocol; each is a module."""

    def parse(self, request: JsonObject) -> Conversation: ...
    def error(self, status: int, message: str) -> bytes: ...
    def whole(self, model: str, reply: Reply, tokens: Tokens) -> bytes: ...
    def stream(self, model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]: ...


_WIRES: Mapping[str, Wire] = {
    "/messages": anthropic,
    "/responses": responses,
    "/chat/completions": completions,
}
_MAX_REQUESTS = 200
_MAX_STREAM_PAUSE_SECONDS = 1.0  # the sum of all pauses, unless a step is slow on purpose
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request. Header names are in lower case; `at` is the Unix time in seconds."""

    path: str
    headers: dict[str, str]
    model: str | None
    at: float
    body: dict[str, Any] = field(repr=False)


class ScriptedModel:
    """A running server. `url` is its address without a path; `requests` holds the latest requests, the newest last."""

    def __init__(self, *, is_recording: bool = True) -> None:
        self.url = ""
        self.requests: deque[ReceivedRequest] = deque(maxlen=_MAX_REQUESTS if is_recording else 0)
        self._director = Director()
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_get("/_requests", self._requests)
        for path in ("/v1/models", "/models", "/v1/key", "/key", "/api/v1/key"):
            app.router.add_get(path, self._list)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)

    async def start(self, host: str, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = f"[{host}]" if ":" in host else host
        self.url = f"http://{address}:{self._runner.addresses[0][1]}"

    async def start_on(self, listening: socket.socket) -> None:
        """Serve on a socket that listens already."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def close(self) -> None:
        """Stop the server and break open connections; idempotent."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _requests(self, request: web.Request) -> web.Response:
        host = request.host.rpartition(":")[0] or request.host
        is_local = request.remote is not None and ipaddress.ip_address(request.remote).is_loopback
        if not is_local or host not in _LOOPBACK_HOSTS:
            return web.json_response(
                {"error": "This path is served to clients on this machine only."}, status=403
            )
        received = [
            {"path": s.path, "headers": s.headers, "model": s.model, "at": s.at} for s in self.requests
        ]
        return web.json_response(received)

    async def _list(self, request: web.Request) -> web.Response:
        """The list of models, by which a key is tested."""
        key = _key_of(request)
        if not key or key.startswith(("sk-invalid", "invalid-key")):
            return web.json_response({"error": {"message": "Incorrect API key provided."}}, status=401)
        return web.json_response({"data": []})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        wire = next((module for end, module in _WIRES.items() if request.path.endswith(end)), None)
        if wire is None:
            return web.json_response({"error": {"message": "Not found."}}, status=404)
        payload = JsonObject.parse(await request.read())
        key = _key_of(request)
        self._record(request, payload or JsonObject({}))
        if not key or key == "invalid-key" or key.startswith("sk-invalid"):
            return _error(wire, 401, f"Incorrect API key provided: {key}." if key else "No API key provided.")
        if payload is None:
            return _error(wire, 400, "The request is not a JSON object.")
        return await self._play(request, wire, payload, key)

    def _record(self, request: web.Request, payload: JsonObject) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(
            ReceivedRequest(request.path, headers, payload.text("model"), time.time(), payload.fields)
        )

    async def _play(
        self, request: web.Request, wire: Wire, payload: JsonObject, key: str
    ) -> web.StreamResponse:
        conversation = wire.parse(payload)
        try:
            play = self._director.next(conversation, key)
        except ScriptError as error:
            return _error(wire, 400, str(error))
        await asyncio.sleep(play.delay_seconds)
        if isinstance(play.step, Fail):
            return _error(wire, play.step.status, play.step.message)
        reply = play.step.reply if isinstance(play.step, Cut) else play.step
        model = str(payload.get("model"))
        tokens = tokens_of(conversation, reply)
        if payload.get("stream") is True:
            parts = list(wire.stream(model, reply, tokens))
            kind = "text/event-stream"
        else:
            parts = [wire.whole(model, reply, tokens)]
            kind = "application/json"
        if isinstance(play.step, Cut):
            parts = parts[: len(parts) // 2] or [parts[0][: len(parts[0]) // 2]]
            if play.step.status is not None:
                error = wire.error(play.step.status, f"Scripted error {play.step.status}.")
                parts.append(b"event: error\ndata: " + error + b"\n\n")
        is_cut = isinstance(play.step, Cut) and play.step.status is None
        return await _send(request, kind, parts, reply, is_cut=is_cut)


async def _send(
    request: web.Request, kind: str, parts: list[bytes], reply: Reply, *, is_cut: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-cache"})
    pause = reply.pause
    if reply.pause < 0.02:
        pause = min(pause, _MAX_STREAM_PAUSE_SECONDS / len(parts))
    await response.prepare(request)
    for part in parts:
        await response.write(part)
        await asyncio.sleep(pause)
    if is_cut and request.transport is not None:
        request.transport.close()
    return response


def _key_of(request: web.Request) -> str:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return request.headers.get("x-api-key") or (bearer.strip() if scheme == "Bearer" else "")


def _error(wire: Wire, status: int, message: str) -> web.Response:
    body = wire.error(status, message)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


async def serve(host: str = "127.0.0.1", port: int = 0) -> ScriptedModel:
    """Start a scripted model; port 0 picks a free one. Close it, or use it as a context manager."""
    model = ScriptedModel()
    await model.start(host, port)
    return model
