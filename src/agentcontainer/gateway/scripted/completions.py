"""The Chat Completions protocol as OpenRouter speaks it, served."""

import json
import time
from collections.abc import Iterator
from typing import Any

from agentcontainer.gateway.scripted.conversation import (
    Call,
    Conversation,
    Reply,
    Tokens,
    Turn,
    argument_deltas,
    dicts,
    joined,
    new_id,
    size_of,
    system_of,
    text_of,
)


def parse(payload: dict[str, Any]) -> Conversation:
    messages = list(dicts(payload.get("messages")))
    turns = [turn for message in messages if (turn := _turn(message)) is not None]
    functions = (tool.get("function", tool.get("custom")) for tool in dicts(payload.get("tools")))
    tools = frozenset(str(function.get("name")) for function in dicts(list(functions)))
    return Conversation(joined(turns), tools, size_of(payload), system_of(messages))


def _turn(message: dict[str, Any]) -> Turn | None:
    text = text_of(message.get("content"))
    match message.get("role"):
        case "user":
            return Turn("user", text)
        case "assistant":
            return Turn("assistant", f"{text}\n{json.dumps(message.get('tool_calls'))}")
        case "tool":
            return Turn("tool", text)
        case _:
            return None


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "code": status}, "user_id": "user_scripted"}


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _envelope(kind: str, id: str, model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": id,
        "provider": "Scripted",
        "model": model,
        "object": kind,
        "created": int(time.time()),
        "choices": choices,
    }


def _new_id() -> str:
    return new_id(f"gen-{int(time.time())}-", 20)


def _tool_call(call: Call, arguments: str) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": arguments}
    return {"id": new_id("call_"), "type": "function", "function": function}


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def whole(model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [_tool_call(call, call.arguments) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply), "logprobs": None}
    return _envelope("chat.completion", _new_id(), model, [choice]) | {"usage": _usage(tokens)}


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of the answer, one at a time."""
    id = _new_id()
    yield b": OPENROUTER PROCESSING\n\n"
    for choice in _choices(reply):
        yield _event(_envelope("chat.completion.chunk", id, model, [choice]))
    last = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    yield _event(_envelope("chat.completion.chunk", id, model, [last]) | {"usage": _usage(tokens)})
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _choices(reply: Reply) -> Iterator[dict[str, Any]]:
    for text in reply.text_deltas:
        yield {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    for index, call in enumerate(reply.calls):
        opening = _tool_call(call, "") | {"index": index}
        yield {"index": 0, "delta": {"role": "assistant", "tool_calls": [opening]}, "finish_reason": None}
        for text in argument_deltas(call):
            delta = {"tool_calls": [{"index": index, "type": "function", "function": {"arguments": text}}]}
            yield {"index": 0, "delta": delta, "finish_reason": None}
    yield {"index": 0, "delta": {"content": ""}, "finish_reason": _finish_reason(reply)}
