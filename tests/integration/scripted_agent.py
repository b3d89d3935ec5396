"""The agent's side of a conversation with the scripted model, in all three protocols."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from agentcontainer.gateway import scripted

PATHS = ["/v1/messages", "/v1/responses", "/api/v1/chat/completions"]
Call = tuple[str, dict[str, Any]]


@dataclass
class Agent:
    """An agent's side of one conversation: sends, and keeps the history in the protocol's own form."""

    http: aiohttp.ClientSession
    path: str
    key: str = "sk-test"
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tools: tuple[str, ...] = ("bash",)
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    def says(self, text: str) -> None:
        self.history.append({"role": "user", "content": text})

    def _request(self, is_stream: bool) -> dict[str, Any]:
        tools: list[dict[str, Any]] = [{"type": "function", "name": name} for name in self.tools]
        if "chat" in self.path:
            tools = [{"type": "function", "function": {"name": name}} for name in self.tools]
        content = "input" if "responses" in self.path else "messages"
        return {"model": "m", content: self.history, "tools": tools, "stream": is_stream, **self.more}

    def send(self, *, is_stream: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.post(self.path, json=self._request(is_stream), headers=headers)

    async def turn(self, results: str = "ok") -> tuple[str, list[Call]]:
        """One answer: its text and calls. The calls' results are `results`."""
        async with self.send() as response:
            answer = await response.json()
            assert response.status == 200, answer
        if "messages" in self.path:
            return self._anthropic(answer["content"], results)
        if "responses" in self.path:
            return self._responses(answer["output"], results)
        return self._completions(answer["choices"][0]["message"], results)

    def _anthropic(self, blocks: list[dict[str, Any]], results: str) -> tuple[str, list[Call]]:
        self.history.append({"role": "assistant", "content": blocks})
        uses = [block for block in blocks if block["type"] == "tool_use"]
        if uses:
            answers = [{"type": "tool_result", "tool_use_id": use["id"], "content": results} for use in uses]
            self.history.append({"role": "user", "content": answers})
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        return text, [(use["name"], use["input"]) for use in uses]

    def _responses(self, items: list[dict[str, Any]], results: str) -> tuple[str, list[Call]]:
        calls = [item for item in items if item["type"] == "function_call"]
        self.history += items
        for call in calls:
            self.history.append(
                {"type": "function_call_output", "call_id": call["call_id"], "output": results}
            )
        text = "".join(item["content"][0]["text"] for item in items if item["type"] == "message")
        return text, [(call["name"], json.loads(call["arguments"])) for call in calls]

    def _completions(self, message: dict[str, Any], results: str) -> tuple[str, list[Call]]:
        self.history.append(message)
        calls = message.get("tool_calls", [])
        for call in calls:
            self.history.append({"role": "tool", "tool_call_id": call["id"], "content": results})
        parsed = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
        return message["content"] or "", parsed


@pytest.fixture
async def model() -> AsyncIterator[scripted.ScriptedModel]:
    async with await scripted.serve() as running:
        yield running


@pytest.fixture(params=PATHS)
async def agent(model: scripted.ScriptedModel, request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    async with aiohttp.ClientSession(model.url) as http:
        yield Agent(http, request.param)


def script(*steps: dict[str, Any]) -> str:
    return f"Please:\n\n```script\n{json.dumps(steps)}\n```\nThank you."
