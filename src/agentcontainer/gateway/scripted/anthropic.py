"""The server side of Anthropic's Messages protocol."""

import json
from collections.abc import Iterator
from typing import Literal, TypedDict

from agentcontainer.gateway.json_object import JsonObject, objects_in
from agentcontainer.gateway.scripted.conversation import (
    Conversation,
    Reply,
    Tokens,
    Turn,
    argument_deltas,
    merged,
    names_of,
    new_id,
    size_of,
    text_of,
)

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class _TextBlock(TypedDict):
    type: Literal["text"]
    text: str


class _ToolUseBlock(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: object


class _Usage(TypedDict):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    service_tier: str


class _Message(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[_TextBlock | _ToolUseBlock]
    stop_reason: str | None
    stop_sequence: None
    usage: _Usage


def parse(request: JsonObject) -> Conversation:
    """The conversation in a request."""
    turns = [turn for message in request.objects("messages") for turn in _turns(message)]
    system = text_of(request.get("system"))
    return Conversation(merged(turns), names_of(request.objects("tools")), size_of(request), system)


def _turns(message: JsonObject) -> Iterator[Turn]:
    role, content = message.get("role"), message.get("content")
    results = [block for block in objects_in(content) if block.get("type") == "tool_result"]
    if results:
        yield Turn("tool", "\n".join(text_of(block.get("content")) for block in results))
    if role == "assistant":
        calls = [json.dumps(b.get("input")) for b in objects_in(content) if b.get("type") == "tool_use"]
        yield Turn("assistant", "\n".join([text_of(content), *calls]))
    elif role == "user" and (text := text_of(content)):
        yield Turn("user", text)


def error(status: int, message: str) -> bytes:
    """An error response's body."""
    body = {"type": _ERRORS.get(status, "api_error"), "message": message}
    return json.dumps({"type": "error", "error": body, "request_id": new_id("req_")}).encode()


def whole(model: str, reply: Reply, tokens: Tokens) -> bytes:
    """The body of a response that is not streamed."""
    content: list[_TextBlock | _ToolUseBlock] = []
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    for call in reply.calls:
        content.append(_tool_use(call.tool, call.input.fields))
    return json.dumps(_message(model, content, _stop_reason(reply), _usage(tokens, tokens.output))).encode()


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of a response, one at a time."""
    yield _event("message_start", message=_message(model, [], None, _usage(tokens, 1)))
    yield _event("ping")
    index = 0
    if reply.text:
        yield from _block_events(index, {"type": "text", "text": ""}, "text_delta", "text", reply.text_deltas)
        index += 1
    for call in reply.calls:
        block = _tool_use(call.tool, {})
        yield from _block_events(index, block, "input_json_delta", "partial_json", argument_deltas(call))
        index += 1
    yield _event(
        "message_delta",
        delta={"stop_reason": _stop_reason(reply), "stop_sequence": None},
        usage={"output_tokens": tokens.output},
    )
    yield _event("message_stop")


def _block_events(
    index: int, block: _TextBlock | _ToolUseBlock, delta_type: str, field: str, deltas: list[str]
) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=block)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta={"type": delta_type, field: delta})
    yield _event("content_block_stop", index=index)


def _event(type: str, **fields: object) -> bytes:
    return f"event: {type}\ndata: {json.dumps({'type': type} | fields)}\n\n".encode()


def _message(
    model: str, content: list[_TextBlock | _ToolUseBlock], stop_reason: str | None, usage: _Usage
) -> _Message:
    return {
        "id": new_id("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _tool_use(name: str, arguments: object) -> _ToolUseBlock:
    return {"type": "tool_use", "id": new_id("toolu_01", 22), "name": name, "input": arguments}


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.calls else "end_turn"


def _usage(tokens: Tokens, output: int) -> _Usage:
    return {
        "input_tokens": tokens.input - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": output,
        "service_tier": "standard",
    }
