"""Frames from Pi are untrusted: each becomes a bounded, storable event, or is dropped."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcontainer.runner.agent import pi_frames, pi_framing
from agentcontainer.runner.agent.pi_events import (
    CompactionEnded,
    CompactionStarted,
    MessageCompleted,
    PiProtocolError,
    Response,
    RetryStarted,
    Settled,
    TextDelta,
    ToolCompleted,
    ToolStarted,
    TurnStarted,
)
from agentcontainer.runner.agent.pi_frames import parse
from agentcontainer.runner.agent.pi_framing import FrameSplitter


def frame(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def delta(text: str) -> bytes:
    return frame(type="message_update", assistantMessageEvent={"type": "text_delta", "delta": text})


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (frame(type="turn_start"), TurnStarted()),
        (delta("Hel"), TextDelta("Hel")),
        (frame(type="compaction_start", reason="threshold"), CompactionStarted()),
        (frame(type="compaction_end", result={"tokensBefore": 150_000}), CompactionEnded(150_000)),
        (frame(type="compaction_end", result=["x"], errorMessage="no"), CompactionEnded(None)),
        (
            frame(
                type="message_end",
                message={
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "text", "text": "one"},
                        {"type": "toolCall", "name": "bash"},
                        {"type": "text", "text": "two"},
                    ],
                    "stopReason": "error",
                    "errorMessage": "401 no",
                },
            ),
            MessageCompleted("assistant", "one\n\ntwo", "error", "401 no"),
        ),
        (
            frame(type="message_end", message={"role": "user", "content": "hello"}),
            MessageCompleted("user", "hello", "", ""),
        ),
        (
            frame(type="tool_execution_start", toolCallId="c1", toolName="bash", args={"command": "ls"}),
            ToolStarted("c1", "bash", {"command": "ls"}),
        ),
        (
            frame(
                type="tool_execution_end",
                toolCallId="c1",
                toolName="read",
                isError=True,
                result={"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "AAAA"}]},
            ),
            ToolCompleted("c1", "read", True, "a\n\n[image]"),
        ),
        (
            frame(type="auto_retry_start", attempt=1, maxAttempts=3, delayMs=500, errorMessage="529"),
            RetryStarted(1),
        ),
        (frame(type="agent_settled", aborted=True), Settled()),
        (
            frame(type="response", id="c1", command="prompt", success=True, data={"disposition": "started"}),
            Response("c1", "prompt", True, "", "started"),
        ),
        (frame(type="message_end", message={"role": "toolResult", "content": []}), None),
        (frame(type="message_update", assistantMessageEvent={"type": "thinking_delta", "delta": "x"}), None),
        (frame(type="something_new", data=[1]), None),
        (frame(kind="no type"), None),
    ],
)
def test_each_kind_of_frame_is_parsed(data: bytes, event: object) -> None:
    assert parse(data) == event
    assert parse(data + b"\r") == event


@given(st.lists(st.binary(min_size=1).map(lambda data: data.replace(b"\n", b"x"))), st.integers(1, 7))
def test_frames_are_whole_however_their_bytes_are_split(frames: list[bytes], size: int) -> None:
    stream = b"".join(line + b"\n" for line in frames)
    splitter = FrameSplitter()
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == frames


def test_only_line_feeds_end_a_frame() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be"
    (line,) = FrameSplitter().feed(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
    assert json.loads(line) == {"text": text}


def test_an_endless_frame_is_refused() -> None:
    splitter = FrameSplitter()
    chunk = b"x" * 1024**2
    for _ in range(pi_framing.MAX_FRAME_BYTES // len(chunk)):
        assert splitter.feed(chunk) == []
    with pytest.raises(PiProtocolError, match="more than 16777216 bytes"):
        splitter.feed(b"x")


def test_the_summary_of_a_long_run_may_be_longer_than_a_frame() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b'{"type":"agent_') == []
    assert splitter.feed(b'end","messages":["') == []
    for _ in range(40):
        assert splitter.feed(b"x" * 1024**2) == []
    assert splitter.feed(b'"]}\n{"type":"agent_settled"}\n') == [b'{"type":"agent_settled"}']


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"type": "turn_start"} trailing',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type":"turn_start","x":NaN}',
        b'{"type":"turn_start","x":1e999}',
        b'{"type":"turn_start","x":' + b"9" * 5000 + b"}",
        b'{"type":"turn_start","x":[' + b"[]," * 100_000 + b"1]}",
        b'{"type":"turn_start","x":[' + b"1," * 200_000 + b"1]}",
        b'{"type":"turn_start","x":[' + b"{}," * 5_000_000 + b"1]}",
    ],
    ids=lambda line: line[:32].decode(errors="replace"),
)
def test_a_frame_that_is_no_json_object_or_has_too_many_values_is_malformed(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse(line)


KEYS = st.sampled_from(
    [
        "type", "message", "role", "content", "text", "usage", "input", "output", "cacheRead", "stopReason",
        "errorMessage", "assistantMessageEvent", "delta", "toolCallId", "toolName", "args", "result",
        "isError", "aborted", "attempt", "delayMs", "id", "command", "success", "error", "data",
        "disposition",
    ]
)  # fmt: skip
TYPES = st.sampled_from(
    [
        "turn_start", "message_update", "message_end", "tool_execution_start", "tool_execution_end", "text",
        "auto_retry_start", "agent_settled", "response", "text_delta", "user", "assistant", "image",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20)  # lone surrogates and NUL too
    | TYPES
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=15)


@given(st.dictionaries(KEYS, VALUES), TYPES)
def test_a_frame_of_any_shape_is_parsed_to_something_storable(fields: dict[str, Any], type_: str) -> None:
    event = parse(frame(**(fields | {"type": type_})))
    if event is not None:
        stored = json.dumps(dataclasses.asdict(event), ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in stored
        stored.encode()  # no lone surrogate


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_malformed(line: bytes) -> None:
    try:
        parse(line)
    except ValueError:
        return


def test_characters_that_the_database_cannot_store_are_replaced() -> None:
    assert parse(delta("a\0b\ud800c")) == TextDelta("a\ufffdb\ufffdc")
    assert parse(frame(type="tool_execution_start", args={"k\0": ["\ud800"]})) == ToolStarted(
        "", "", {"k\ufffd": ["\ufffd"]}
    )


def test_sizes_are_bounded() -> None:
    long = "x" * (2 * pi_frames.MAX_OUTPUT_CHARACTERS)
    message = parse(
        frame(type="message_end", message={"role": "assistant", "content": long, "errorMessage": long})
    )
    assert isinstance(message, MessageCompleted)
    assert len(message.text) == pi_frames.MAX_OUTPUT_CHARACTERS
    assert message.text.endswith(pi_frames.CUT)
    assert len(message.error_message) == pi_frames.MAX_ERROR_CHARACTERS

    blocks = [{"type": "text", "text": "y" * 1000}] * 1000
    result = parse(frame(type="tool_execution_end", toolCallId=long, result={"content": blocks}))
    assert isinstance(result, ToolCompleted)
    assert len(result.output) == pi_frames.MAX_OUTPUT_CHARACTERS
    assert len(result.call_id) == pi_frames.MAX_NAME_CHARACTERS

    for data, counted in ((10**30, pi_frames.MAX_COUNT), (-5, 0), (True, 0), ("7", 0)):
        assert parse(frame(type="auto_retry_start", attempt=data)) == RetryStarted(counted)


def test_a_large_or_deep_tool_input_is_omitted_with_the_reason() -> None:
    deep: Any = "x"
    for _ in range(pi_frames.MAX_INPUT_DEPTH + 1):
        deep = [deep]
    for args in ({"content": "x" * pi_frames.MAX_INPUT_BYTES}, {"content": deep}):
        started = parse(frame(type="tool_execution_start", toolCallId="c1", toolName="write", args=args))
        assert started == ToolStarted("c1", "write", None, "too_large")
