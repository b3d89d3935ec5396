"""Which failures of a provider a request is repeated for, and which answers begin with one."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentcontainer.gateway.opening import MAX_HELD_BYTES, Opening
from agentcontainer.gateway.overload import is_overload
from agentcontainer.gateway.upstreams import Wire

Event = dict[str, Any]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, b'{"error": {"message": "slow down"}}', True),
        (529, b"", True),
        (503, b"", True),
        (500, b"", True),
        (502, b"<html>Bad gateway", True),
        (504, b"", True),
        (522, b"", True),
        (408, b"", True),
        (501, b"", False),
        (429, b'{"error": {"code": "insufficient_quota"}}', False),
        (401, b"", False),
        (402, b"", False),
        (403, b"", False),
        (400, b"overloaded", False),
    ],
)
def test_faults_of_the_account_are_no_overload(status: int, body: bytes, expected: bool) -> None:
    assert is_overload(status, body) is expected


async def opening(wire: Wire, *events: Event | bytes, size: int = 10**6) -> Opening:
    stream = b"".join(
        event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    )

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    read = Opening(wire)
    await read.read(chunks())
    return read


START: Event = {"type": "message_start", "message": {"usage": {"input_tokens": 3}}}
PING: Event = {"type": "ping"}
CREATED: Event = {"type": "response.created", "response": {"error": None}}
ROLE: Event = {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
FAILED: Event = {"choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}
LATER = "later, please"


def error(**fields: Any) -> Event:
    return {"type": "error", "error": {"message": LATER, **fields}}


def failed(code: str) -> Event:
    return {"type": "response.failed", "response": {"error": {"code": code, "message": LATER}}}


@pytest.mark.parametrize("size", [10**6, 1])
@pytest.mark.parametrize(
    ("wire", "events"),
    [
        ("anthropic-messages", [b"event: error\r\n", error(type="overloaded_error")]),
        ("anthropic-messages", [START, PING, error(type="rate_limit_error")]),
        ("openai-responses", [CREATED, failed("server_error")]),
        ("openai-responses", [CREATED, failed("rate_limit_exceeded")]),
        ("openai-responses", [{"type": "error", "code": "server_error", "message": LATER}]),
        (
            "openai-completions",
            [b": PROCESSING\n\n", ROLE, FAILED | {"error": {"code": 502, "message": LATER}}],
        ),
        ("openai-completions", [{"error": {"type": "server_error", "message": LATER}}]),
    ],
)
async def test_an_overload_before_any_content_is_recognised(
    wire: Wire, events: list[Event | bytes], size: int
) -> None:
    assert (await opening(wire, *events, size=size)).overload == LATER


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        ("anthropic-messages", [START, error(type="authentication_error")]),
        ("anthropic-messages", [error(type="rate_limit_error", code="insufficient_quota")]),
        ("openai-responses", [failed("insufficient_quota")]),
        ("openai-responses", [failed("invalid_prompt")]),
        ("openai-completions", [{"error": {"code": 402, "message": LATER}}]),
        ("openai-completions", [b"data: [DONE]\n\n", {"error": {"code": 502, "message": LATER}}]),
        ("anthropic-messages", [START, {"type": "content_block_start"}, error(type="overloaded_error")]),
        ("openai-completions", [{"choices": [{"delta": {"reasoning": "Hm"}}]}, {"error": {"code": 502}}]),
        ("anthropic-messages", []),
    ],
)
async def test_any_other_beginning_is_passed_on_at_once(wire: Wire, events: list[Event | bytes]) -> None:
    read = await opening(wire, *events)
    assert read.overload is None
    assert read.data.count(b"data:") == len(events)


async def test_what_is_held_back_is_bounded() -> None:
    read = await opening("openai-completions", b": PROCESSING\n\n" * 10_000, size=1000)
    assert MAX_HELD_BYTES < len(read.data) < MAX_HELD_BYTES + 1001
