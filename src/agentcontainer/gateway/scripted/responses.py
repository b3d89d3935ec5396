"""OpenAI's Responses protocol, served."""

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

_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")


def parse(payload: dict[str, Any]) -> Conversation:
    given = payload.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else list(dicts(given))
    turns = [turn for item in items if (turn := _turn(item)) is not None]
    tools = frozenset(str(tool.get("name")) for tool in _tools(payload, items))
    return Conversation(joined(turns), tools, size_of(payload), system_of(items, payload.get("instructions")))


def _tools(payload: dict[str, Any], items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from dicts(payload.get("tools"))
    for item in items:
        if item.get("type") in ("additional_tools", "tool_search_output"):
            yield from dicts(item.get("tools"))


def _turn(item: dict[str, Any]) -> Turn | None:
    kind = item.get("type", "message")
    if kind in _CALLS:
        return Turn("assistant", str(item.get("arguments", item.get("input"))))
    if kind in _RESULTS:
        return Turn("tool", text_of(item.get("output")))
    text = text_of(item.get("content"))
    if kind == "message" and item.get("role") == "assistant":
        return Turn("assistant", text)
    return Turn("user", text) if kind == "message" and item.get("role") == "user" else None


def error(status: int, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _message(id: str, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    return {"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _call(id: str, call_id: str, call: Call) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function_call",
        "call_id": call_id,
        "name": call.tool,
        "arguments": call.arguments,
        "status": "completed",
    }


def _response(id: str, model: str, output: list[dict[str, Any]], tokens: Tokens | None) -> dict[str, Any]:
    usage = tokens and {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    }
    return {
        "id": id,
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed" if tokens else "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "store": False,
        "usage": usage,
    }


def whole(model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    output = [_message(new_id("msg_"), reply.text)] if reply.text else []
    output += [_call(new_id("fc_"), new_id("call_"), call) for call in reply.calls]
    return _response(new_id("resp_"), model, output, tokens)


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of the answer, one at a time."""
    for number, event in enumerate(_events(model, reply, tokens)):
        event["sequence_number"] = number
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _events(model: str, reply: Reply, tokens: Tokens) -> Iterator[dict[str, Any]]:
    id = new_id("resp_")
    output: list[dict[str, Any]] = []
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": _response(id, model, [], None)}
    if reply.text:
        output.append(_message(new_id("msg_"), reply.text))
        yield from _text_events(output[0], reply)
    for call in reply.calls:
        output.append(_call(new_id("fc_"), new_id("call_"), call))
        yield from _call_events(output[-1], len(output) - 1, call)
    yield {"type": "response.completed", "response": _response(id, model, output, tokens)}


def _text_events(item: dict[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    opened: dict[str, Any] = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": opened}
    yield {"type": "response.content_part.added", **place, "part": item["content"][0] | {"text": ""}}
    for delta in reply.text_deltas:
        yield {"type": "response.output_text.delta", **place, "delta": delta}
    yield {"type": "response.output_text.done", **place, "text": reply.text}
    yield {"type": "response.content_part.done", **place, "part": item["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def _call_events(item: dict[str, Any], index: int, call: Call) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    opened = item | {"status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    for delta in argument_deltas(call):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": delta}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": call.arguments}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
