"""Anthropic's Messages protocol, served."""

import json
from collections.abc import Iterator
from typing import Any

from agentcontainer.gateway.scripted.conversation import (
    Conversation,
    Reply,
    Tokens,
    Turn,
    argument_deltas,
    dicts,
    joined,
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


def parse(payload: dict[str, Any]) -> Conversation:
    turns = [turn for message in dicts(payload.get("messages")) for turn in _turns(message)]
    tools = frozenset(str(tool.get("name")) for tool in dicts(payload.get("tools")))
    return Conversation(joined(turns), tools, size_of(payload), text_of(payload.get("system")))


def _turns(message: dict[str, Any]) -> Iterator[Turn]:
    role, content = message.get("role"), message.get("content")
    results = [block for block in dicts(content) if block.get("type") == "tool_result"]
    if results:
        yield Turn("tool", "\n".join(text_of(block.get("content")) for block in results))
    if role == "assistant":
        calls = [
            json.dumps(block.get("input")) for block in dicts(content) if block.get("type") == "tool_use"
        ]
        yield Turn("assistant", "\n".join([text_of(content), *calls]))
    elif role == "user" and (text := text_of(content)):
        yield Turn("user", text)


def error(status: int, message: str) -> dict[str, Any]:
    body = {"type": _ERRORS.get(status, "api_error"), "message": message}
    return {"type": "error", "error": body, "request_id": new_id("req_")}


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.calls else "end_turn"


def _usage(tokens: Tokens, output: int) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": output,
        "service_tier": "standard",
    }


def whole(model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    for call in reply.calls:
        content.append(
            {"type": "tool_use", "id": new_id("toolu_01", 22), "name": call.tool, "input": call.input}
        )
    return _message(model, content, _stop_reason(reply), _usage(tokens, tokens.output))


def _message(
    model: str, content: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": new_id("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of the answer, one at a time."""
    for event in _events(model, reply, tokens):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _events(model: str, reply: Reply, tokens: Tokens) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": _message(model, [], None, _usage(tokens, 1))}
    yield {"type": "ping"}
    blocks: list[tuple[dict[str, Any], str, str, list[str]]] = []
    if reply.text:
        blocks.append(({"type": "text", "text": ""}, "text_delta", "text", reply.text_deltas))
    for call in reply.calls:
        block: dict[str, Any] = {
            "type": "tool_use",
            "id": new_id("toolu_01", 22),
            "name": call.tool,
            "input": {},
        }
        blocks.append((block, "input_json_delta", "partial_json", argument_deltas(call)))
    for index, (block, kind, name, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: delta}}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None},
        "usage": {"output_tokens": tokens.output},
    }
    yield {"type": "message_stop"}
