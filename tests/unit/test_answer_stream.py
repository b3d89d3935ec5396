"""Streamed answers that Pi would misread: empty ones, unknown reasons to stop, tool calls that share an index."""

import json
from typing import Any

import pytest

from agentcontainer.gateway.answer_stream import AnswerStream
from agentcontainer.gateway.upstreams import Wire

Event = dict[str, Any]


def sse(*events: Event) -> bytes:
    return b"".join(
        (f"event: {event['type']}\n" if "type" in event else "").encode()
        + b"data: "
        + json.dumps(event).encode()
        + b"\n\n"
        for event in events
    )


def data_of(stream: bytes) -> list[Event]:
    lines = [line[5:] for line in stream.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line.strip() != b"[DONE]"]


def through(wire: Wire, stream: bytes, size: int = 10**6) -> tuple[bytes, AnswerStream]:
    answer = AnswerStream(wire, "The provider")
    passed = b"".join(answer.feed(stream[start : start + size]) for start in range(0, len(stream), size))
    return passed + answer.end(), answer


def chunk(delta: Event, finish: str | None = None, **more: Any) -> Event:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def block(kind: str, **fields: Any) -> Event:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **fields}}


def text(piece: str) -> Event:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}


def stop(reason: str) -> Event:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}


def completed(*output: Event, status: str = "completed", **more: Any) -> Event:
    return {"type": f"response.{status}", "response": {"status": status, "output": list(output), **more}}


THINKING = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}}
START = {"type": "message_start", "message": {"id": "msg_1", "content": [], "stop_reason": None}}

EMPTY: dict[str, tuple[Wire, list[Event]]] = {
    "anthropic": ("anthropic-messages", [START, stop("end_turn"), {"type": "message_stop"}]),
    "anthropic, thinking only": (
        "anthropic-messages",
        [START, block("thinking"), THINKING, stop("end_turn")],
    ),
    "anthropic, white space": (
        "anthropic-messages",
        [START, block("text", text=""), text("\n"), stop("end_turn")],
    ),
    "openrouter": (
        "openai-completions",
        [chunk({"role": "assistant", "content": ""}, "stop", native_finish_reason="network_error")],
    ),
    "openai": ("openai-responses", [{"type": "response.created", "response": {}}, completed()]),
    "openai, reasoning only": ("openai-responses", [completed({"type": "reasoning", "summary": []})]),
}


@pytest.mark.parametrize("size", [10**6, 1])
@pytest.mark.parametrize(("wire", "events"), EMPTY.values(), ids=EMPTY)
def test_an_empty_answer_becomes_an_error_that_pi_repeats(wire: Wire, events: list[Event], size: int) -> None:
    passed, answer = through(wire, sse(*events) + b"data: [DONE]\n\n", size)
    last = data_of(passed)[-1]
    message = last.get("message") or last["error"]["message"]
    assert "ended without" in message  # Pi takes these words for a transient failure
    assert answer.fault is not None
    assert b"[DONE]" not in passed


def test_the_reason_of_the_models_host_is_named() -> None:
    _, answer = through("openai-completions", sse(*EMPTY["openrouter"][1]))
    assert answer.fault == "ended without an answer (network_error)"


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
WHOLE: dict[str, tuple[Wire, list[Event]]] = {
    "anthropic": ("anthropic-messages", [START, block("text", text=""), text("Hello."), stop("end_turn")]),
    "anthropic, tool": ("anthropic-messages", [START, block("tool_use", id="toolu_1"), stop("tool_use")]),
    "openrouter": ("openai-completions", [chunk({"content": "Hello."}), chunk({}, "stop")]),
    "openrouter, tool": ("openai-completions", [chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls")]),
    "openai": (
        "openai-responses",
        [
            {"type": "response.output_text.delta", "delta": "Hello."},
            completed({"type": "message", "content": []}),
        ],
    ),
    "openai, tool": ("openai-responses", [completed({"type": "function_call", "call_id": "call_1"})]),
}


@pytest.mark.parametrize("size", [10**6, 1])
@pytest.mark.parametrize(("wire", "events"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_passed_on_byte_for_byte(wire: Wire, events: list[Event], size: int) -> None:
    sent = sse(*events) + b": a comment\r\n\r\ndata: [DONE]\n\ndata: no newline"
    passed, answer = through(wire, sent, size)
    assert passed == sent
    assert answer.fault is None


def test_an_answer_that_fills_the_context_window_counts_as_cut_off() -> None:
    events = [START, block("text", text=""), text("The first half"), stop("model_context_window_exceeded")]
    passed, answer = through("anthropic-messages", sse(*events))
    assert data_of(passed)[-1]["delta"] == {"stop_reason": "max_tokens"}
    assert answer.fault is None


@pytest.mark.parametrize(
    ("wire", "events", "reason"),
    [
        ("anthropic-messages", [START, stop("refusal")], "refusal"),
        ("anthropic-messages", [START, text("x"), stop("a_new_reason")], "a_new_reason"),
        ("openai-completions", [chunk({"content": "x"}), chunk({}, "content_filter")], "content_filter"),
        ("openai-completions", [chunk({}, "error", native_finish_reason="MALFORMED")], "MALFORMED"),
        (
            "openai-responses",
            [completed(status="incomplete", incomplete_details={"reason": "content_filter"})],
            "content_filter",
        ),
    ],
)
def test_a_stop_that_pi_cannot_go_on_from_is_named(wire: Wire, events: list[Event], reason: str) -> None:
    passed, answer = through(wire, sse(*events))
    assert passed == sse(*events)
    assert answer.fault == f"stopped its answer: {reason}"


def test_tool_calls_with_the_same_index_get_indexes_of_their_own() -> None:
    second = CALL | {"id": "call_2"}
    rest = {"index": 0, "function": {"arguments": " "}}
    events = [chunk({"tool_calls": [call]}) for call in (CALL, second, rest)]
    passed, _ = through("openai-completions", sse(*events, chunk({}, "tool_calls")))
    calls = [event["choices"][0]["delta"]["tool_calls"][0] for event in data_of(passed)[:3]]
    assert [call["index"] for call in calls] == [0, 1, 1]


def tool(call_id: str, index: int = 0) -> list[Event]:
    return [
        block("tool_use", id=call_id) | {"index": index},
        {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "input_json_delta", "partial_json": call_id},
        },
    ]


@pytest.mark.parametrize("size", [10**6, 1])
@pytest.mark.parametrize("is_stopped", [True, False], ids=["one after the other", "without an end"])
def test_content_blocks_with_the_same_index_get_indexes_of_their_own(is_stopped: bool, size: int) -> None:
    end: Event = {"type": "content_block_stop", "index": 0}
    events = [START, *tool("a"), *[end] * is_stopped, *tool("b"), end, *tool("c", 1), end | {"index": 1}]
    passed, _ = through("anthropic-messages", sse(*events, stop("tool_use")), size)
    assert passed == sse(*data_of(passed))  # the names of events agree with the events
    blocks = [
        (event["type"].removeprefix("content_block_"), event["index"]) for event in data_of(passed)[1:-1]
    ]
    assert blocks == [(kind, index) for index in range(3) for kind in ("start", "delta", "stop")]


def item_events(call_id: str, index: int, item_ids: tuple[str, str, str]) -> tuple[Event, Event, Event]:
    """The beginning, the arguments and the end of a tool call, each with its id of the item."""
    item = {"type": "function_call", "call_id": call_id, "name": "bash"}
    begun, added, done = item_ids
    return (
        {"type": "response.output_item.added", "output_index": index, "item": item | {"id": begun}},
        {
            "type": "response.function_call_arguments.delta",
            "output_index": index,
            "item_id": added,
            "delta": "{}",
        },
        {"type": "response.output_item.done", "output_index": index, "item": item | {"id": done}},
    )


A, B = item_events("call_a", 0, ("a", "a", "a")), item_events("call_b", 0, ("b", "b", "b"))
OTHER = item_events("call_c", 1, ("c", "c", "c"))
VARYING = item_events("call_v", 0, ("v1", "v2", "v3"))  # as GitHub Copilot sends them
# Events that share an index, and the index that each must get.
ITEMS: dict[str, tuple[list[Event], list[int]]] = {
    "one after the other": ([*A, *B, *OTHER], [0, 0, 0, 1, 1, 1, 2, 2, 2]),
    "at once": ([A[0], B[0], A[1], B[1], B[2], A[2]], [0, 1, 0, 1, 1, 0]),
    "at once with another": (
        [A[0], OTHER[0], B[0], OTHER[1], A[1], OTHER[2], B[2], A[2]],
        [0, 1, 2, 1, 0, 1, 2, 0],
    ),
    "ids that vary": ([*VARYING, *OTHER], [0, 0, 0, 1, 1, 1]),
    "ids that vary, the second call": ([*A, *VARYING], [0, 0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("size", [10**6, 1])
@pytest.mark.parametrize(("events", "indexes"), ITEMS.values(), ids=ITEMS)
def test_output_items_with_the_same_index_get_indexes_of_their_own(
    events: list[Event], indexes: list[int], size: int
) -> None:
    created: Event = {"type": "response.created", "response": {}}
    passed, _ = through("openai-responses", sse(created, *events, completed()), size)
    expected = [event | {"output_index": index} for event, index in zip(events, indexes, strict=True)]
    assert passed == sse(created, *expected, completed())


def test_an_endless_line_is_passed_on_in_pieces() -> None:
    line = b"data: " + b"x" * 9 * 1024**2
    answer = AnswerStream("anthropic-messages", "The provider")
    assert answer.feed(line) + answer.feed(b"y\n") + answer.end() == line + b"y\n"
