"""The texts of model requests and answers, as traces have them: the same form for every wire protocol."""

import json
from typing import Any

import pytest

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.message_content import (
    MAX_TEXT_CHARACTERS,
    AnswerContent,
    input_messages,
    system_instructions,
)
from agentcontainer.gateway.upstreams import Wire

LIMIT = 32 * 1024
CALL = {"type": "tool_call", "id": "c1", "name": "bash", "arguments": {"command": "ls"}}
EXPECTED = [
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "I look."}, CALL]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "a.txt"}]},
]
ARGUMENTS = '{"command": "ls"}'
REQUESTS: dict[Wire, dict[str, Any]] = {
    "anthropic-messages": {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "…"}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a.txt"}]},
            ]},
        ],
    },
    "openai-completions": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "c1", "function": {"name": "bash", "arguments": ARGUMENTS}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
        ],
    },
    "openai-responses": {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": ARGUMENTS},
            {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
        ],
    },
}  # fmt: skip
STREAMS: dict[Wire, list[dict[str, Any]]] = {
    "anthropic-messages": [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "look."}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "bash"}},
        {"type": "content_block_delta", "index": 1, "delta": {"partial_json": '{"command"'}},
        {"type": "content_block_delta", "index": 1, "delta": {"partial_json": ': "ls"}'}},
    ],
    "openai-completions": [
        {"choices": [{"delta": {"content": "I look."}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "bash"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS}}]}}]},
    ],
    "openai-responses": [
        {"type": "response.output_text.delta", "delta": "I look."},
        {"type": "response.completed", "response": {"output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": ARGUMENTS},
        ]}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("wire", REQUESTS)
def test_a_request(wire: Wire) -> None:
    request = JsonObject(REQUESTS[wire])
    assert json.loads(system_instructions(wire, request, LIMIT) or "") == [
        {"type": "text", "content": "Be brief."}
    ]
    messages = json.loads(input_messages(wire, request, LIMIT) or "")
    parts = [part for message in messages for part in message["parts"]]
    assert parts == [part for message in EXPECTED for part in message["parts"]]
    roles = [message["role"] for message in messages]
    assert list(dict.fromkeys(roles)) == ["user", "assistant", "tool"]


@pytest.mark.parametrize("wire", STREAMS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_answer_in_chunks_of_any_size(wire: Wire, size: int) -> None:
    stream = b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in STREAMS[wire])
    answer = AnswerContent(wire, is_stream=True, limit=LIMIT)
    for start in range(0, len(stream), size):
        answer.feed(stream[start : start + size])
    [message] = json.loads(answer.messages("stop") or "")
    assert message == {**EXPECTED[1], "finish_reason": "stop"}


def test_long_texts_are_cut_and_the_last_messages_are_kept() -> None:
    messages = [
        {"role": "user", "content": f"{number} " + "x" * 2 * MAX_TEXT_CHARACTERS} for number in range(9)
    ]
    text = input_messages("anthropic-messages", JsonObject({"messages": messages}), LIMIT) or ""
    kept = json.loads(text)
    assert len(text) <= LIMIT
    assert [message["parts"][0]["content"][0] for message in kept] == ["6", "7", "8"]
    answer = AnswerContent("openai-completions", is_stream=True, limit=LIMIT)
    for _ in range(1000):
        answer.feed(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n' % (b"y" * 100))
    assert len(answer.messages(None) or "") < 2 * MAX_TEXT_CHARACTERS


@pytest.mark.parametrize("wire", REQUESTS)
def test_what_is_no_request_or_answer_has_no_content(wire: Wire) -> None:
    for odd in (
        {},
        {"messages": 7, "input": {}, "system": 3},
        {"messages": [None, {"content": [[]]}], "input": [1]},
    ):
        assert input_messages(wire, JsonObject({**odd}), LIMIT) is None
        assert system_instructions(wire, JsonObject({**odd}), LIMIT) is None
    for odd_bytes in (b"", b"data: [DONE]\n", b"\xff\n\x00data: 7\n", b"data: {\n"):
        for is_stream in (True, False):
            answer = AnswerContent(wire, is_stream=is_stream, limit=LIMIT)
            answer.feed(odd_bytes)
            assert answer.messages("stop") is None
