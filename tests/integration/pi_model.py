"""A model behind the gateway's socket that gives a list of prepared answers."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

MODEL = "claude-sonnet-4-6"


@dataclass(frozen=True)
class Say:
    """An answer of the model: text, optionally more in a second block, and optionally one tool call."""

    text: str
    more: str = ""
    tool: str | None = None
    input: dict[str, Any] = field(default_factory=dict)
    input_tokens: int = 11


@dataclass(frozen=True)
class Fail:
    """An error of the provider."""

    status: int
    message: str


def edit(path: str, old: str, new: str) -> Say:
    return Say("Editing it.", tool="edit", input={"path": path, "edits": [{"oldText": old, "newText": new}]})


def run(command: str) -> Say:
    return Say("Running it.", tool="bash", input={"command": command})


@dataclass
class Model:
    """Speaks Anthropic's streaming protocol.

    It gives the answers of a list. After them it forwards to `scripted_url`, or answers "Nothing more.".
    """

    scripted_url: str | None = None
    answers: list[Say | Fail] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def messages(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("x-api-key"))
        if self.scripted_url is not None and not self.answers:
            return await self._forward(request, f"{self.scripted_url}/v1/messages")
        answer = self.answers.pop(0) if self.answers else Say("Nothing more.")
        if isinstance(answer, Fail):
            error = {"type": "error", "error": {"type": "api_error", "message": answer.message}}
            return web.json_response(error, status=answer.status)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in _stream(answer):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response

    async def _forward(self, request: web.Request, url: str) -> web.Response:
        headers = {"x-api-key": "sk-test"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json=self.requests[-1], headers=headers) as answer,
        ):
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    def request_text(self, number: int) -> str:
        return json.dumps(self.requests[number]["messages"])


def _stream(answer: Say) -> list[dict[str, Any]]:
    usage = {"input_tokens": answer.input_tokens, "output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "usage": usage,
    }
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": text})
        for text in (answer.text, answer.more)
        if text
    ]
    if answer.tool is not None:
        call = {"type": "tool_use", "id": f"toolu_{secrets.token_hex(4)}", "name": answer.tool, "input": {}}
        blocks.append((call, {"type": "input_json_delta", "partial_json": json.dumps(answer.input)}))
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (block, delta) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    reason = "end_turn" if answer.tool is None else "tool_use"
    events.append({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 22}})
    events.append({"type": "message_stop"})
    return events
