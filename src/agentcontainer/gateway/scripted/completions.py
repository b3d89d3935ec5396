"""The server side of the Chat Completions protocol, in OpenRouter's variant."""

import json
import time
from collections.abc import Iterator
from typing import Literal, NotRequired, TypedDict

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


class _Function(TypedDict):
    name: NotRequired[str]
    arguments: str


class _ToolCall(TypedDict):
    index: NotRequired[int]
    id: NotRequired[str]
    type: Literal["function"]
    function: _Function


class _Message(TypedDict):
    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str | None]
    tool_calls: NotRequired[list[_ToolCall]]


class _Choice(TypedDict):
    index: int
    message: NotRequired[_Message]
    delta: NotRequired[_Message]
    finish_reason: str | None
    logprobs: NotRequired[None]


class _Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class _Body(TypedDict):
    id: str
    provider: str
    model: str
    object: str
    created: int
    choices: list[_Choice]
    usage: NotRequired[_Usage]


def parse(request: JsonObject) -> Conversation:
    """The conversation in a request."""
    messages = list(request.objects("messages"))
    turns = [turn for message in messages if (turn := _turn(message)) is not None]
    functions = [tool.fields.get("function", tool.get("custom")) for tool in request.objects("tools")]
    tools = names_of(objects_in(functions))
    return Conversation(merged(turns), tools, size_of(request), system_prompt_of(messages))


def _turn(message: JsonObject) -> Turn | None:
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


def error(status: int, message: str) -> bytes:
    """An error response's body."""
    return json.dumps({"error": {"message": message, "code": status}, "user_id": "user_scripted"}).encode()


def whole(model: str, reply: Reply, tokens: Tokens) -> bytes:
    """The body of a response that is not streamed."""
    message: _Message = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [_tool_call(call, call.arguments) for call in reply.calls]
    choice: _Choice = {
        "index": 0,
        "message": message,
        "finish_reason": _finish_reason(reply),
        "logprobs": None,
    }
    body = _body("chat.completion", _new_id(), model, choice)
    body["usage"] = _usage(tokens)
    return json.dumps(body).encode()


def stream(model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The server-sent events of a response, one at a time."""
    id = _new_id()
    yield b": OPENROUTER PROCESSING\n\n"
    for choice in _choices(reply):
        yield _event(_body("chat.completion.chunk", id, model, choice))
    last = _body("chat.completion.chunk", id, model, _choice({"role": "assistant", "content": ""}))
    last["usage"] = _usage(tokens)
    yield _event(last)
    yield b"data: [DONE]\n\n"


def _choices(reply: Reply) -> Iterator[_Choice]:
    for text in reply.text_deltas:
        yield _choice({"role": "assistant", "content": text})
    for index, call in enumerate(reply.calls):
        opening = _tool_call(call, "")
        opening["index"] = index
        yield _choice({"role": "assistant", "tool_calls": [opening]})
        for text in argument_deltas(call):
            delta: _ToolCall = {"index": index, "type": "function", "function": {"arguments": text}}
            yield _choice({"tool_calls": [delta]})
    yield _choice({"content": ""}, _finish_reason(reply))


def _choice(delta: _Message, finish_reason: str | None = None) -> _Choice:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _event(body: _Body) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _body(kind: str, id: str, model: str, choice: _Choice) -> _Body:
    return {
        "id": id,
        "provider": "Scripted",
        "model": model,
        "object": kind,
        "created": int(time.time()),
        "choices": [choice],
    }


def _new_id() -> str:
    return new_id(f"gen-{int(time.time())}-", 20)


def _tool_call(call: Call, arguments: str) -> _ToolCall:
    return {
        "id": new_id("call_"),
        "type": "function",
        "function": {"name": call.tool, "arguments": arguments},
    }


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def _usage(tokens: Tokens) -> _Usage:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
