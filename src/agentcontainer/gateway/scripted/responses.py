"""The server side of OpenAI's Responses protocol."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal, TypedDict

from agentcontainer.gateway.json_object import JsonObject, objects_in
from agentcontainer.gateway.scripted.conversation import (
    Call,
    Conversation,
    Reply,
    Tokens,
    Turn,
    argument_deltas,
    merged,
    names_of,
    new_id,
    size_of,
    system_prompt_of,
    text_of,
)

_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
_ERROR_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

Encode = Callable[..., bytes]
"""Encodes one event: its type, and its fields as keyword arguments."""


class _TextPart(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: list[str]


class _MessageItem(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: str
    content: list[_TextPart]


class _CallItem(TypedDict):
    id: str
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    status: str


class _Usage(TypedDict):
    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class _Response(TypedDict):
    id: str
    object: Literal["response"]
    created_at: int
    status: str
    error: None
    incomplete_details: None
    model: str
    output: list[_MessageItem | _CallItem]
    parallel_tool_calls: bool
    store: bool
    usage: _Usage | None


def parse(request: JsonObject) -> Conversation:
    """The conversation in a request."""
    text = request.text("input")
    items = list(request.objects("input"))
    if text is not None:
        items = [JsonObject({"role": "user", "content": text})]
    turns = [turn for item in items if (turn := _turn(item)) is not None]
    system = system_prompt_of(items, request.get("instructions"))
    return Conversation(merged(turns), names_of(_tools(request, items)), size_of(request), system)


def _tools(request: JsonObject, items: list[JsonObject]) -> Iterator[JsonObject]:
    yield from request.objects("tools")
    for item in items:
        if item.get("type") in ("additional_tools", "tool_search_output"):
            yield from objects_in(item.get("tools"))


def _turn(item: JsonObject) -> Turn | None:
    kind = item.fields.get("type", "message")
    if kind in _CALLS:
        return Turn("assistant", str(item.fields.get("arguments", item.get("input"))))
    if kind in _RESULTS:
        return Turn("tool", text_of(item.get("output")))
    text = text_of(item.get("content"))
    if kind == "message" and item.get("role") == "assistant":
        return Turn("assistant", text)
    return Turn("user", text) if kind == "message" and item.get("role") == "user" else None


def error(status: int, message: str) -> bytes:
    """An error response's body."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"message": message, "type": kind, "param": None, "code": _ERROR_CODES.get(status)}
    return json.dumps({"error": body}).encode()


def whole(model: str, reply: Reply, tokens: Tokens) -> bytes:
    """The body of a response that is not streamed."""
    output: list[_MessageItem | _CallItem] = [_message(reply.text)] if reply.text else []
    output += [_call(call) for call in reply.calls]
    return json.dumps(_response(new_id("resp_"), model, output, tokens)).encode()


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of a response, one at a time."""
    encode = _numbered()
    id = new_id("resp_")
    output: list[_MessageItem | _CallItem] = []
    for type in ("response.created", "response.in_progress"):
        yield encode(type, response=_response(id, model, [], None))
    if reply.text:
        message = _message(reply.text)
        output.append(message)
        yield from _message_events(encode, message, reply)
    for call in reply.calls:
        item = _call(call)
        output.append(item)
        yield from _call_events(encode, item, len(output) - 1, call)
    yield encode("response.completed", response=_response(id, model, output, tokens))


def _numbered() -> Encode:
    numbers = count()

    def encode(type: str, **fields: object) -> bytes:
        event = {"type": type} | fields | {"sequence_number": next(numbers)}
        return f"event: {type}\ndata: {json.dumps(event)}\n\n".encode()

    return encode


def _message_events(encode: Encode, item: _MessageItem, reply: Reply) -> Iterator[bytes]:
    location = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = item["content"][0]
    opened = item | {"status": "in_progress", "content": []}
    yield encode("response.output_item.added", output_index=0, item=opened)
    yield encode("response.content_part.added", **location, part=part | {"text": ""})
    for delta in reply.text_deltas:
        yield encode("response.output_text.delta", **location, delta=delta)
    yield encode("response.output_text.done", **location, text=reply.text)
    yield encode("response.content_part.done", **location, part=part)
    yield encode("response.output_item.done", output_index=0, item=item)


def _call_events(encode: Encode, item: _CallItem, index: int, call: Call) -> Iterator[bytes]:
    location = {"item_id": item["id"], "output_index": index}
    opened = item | {"status": "in_progress", "arguments": ""}
    yield encode("response.output_item.added", output_index=index, item=opened)
    for delta in argument_deltas(call):
        yield encode("response.function_call_arguments.delta", **location, delta=delta)
    yield encode("response.function_call_arguments.done", **location, arguments=call.arguments)
    yield encode("response.output_item.done", output_index=index, item=item)


def _message(text: str) -> _MessageItem:
    part: _TextPart = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _call(call: Call) -> _CallItem:
    return {
        "id": new_id("fc_"),
        "type": "function_call",
        "call_id": new_id("call_"),
        "name": call.tool,
        "arguments": call.arguments,
        "status": "completed",
    }


def _response(
    id: str, model: str, output: list[_MessageItem | _CallItem], tokens: Tokens | None
) -> _Response:
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
        "usage": _usage(tokens) if tokens else None,
    }


def _usage(tokens: Tokens) -> _Usage:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    }
