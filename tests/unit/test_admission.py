"""Which model requests may use the provider's key, and which are refused."""

import json
from typing import Any

import pytest

from agentcontainer.gateway.admission import MAX_STRUCTURE, admit
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.upstreams import Wire

MODELS = frozenset({"m1", "m2"})
FUNCTION = {"type": "function", "name": "bash", "parameters": {}}


def request_of(wire: Wire, **fields: Any) -> dict[str, Any]:
    content = {"openai-responses": "input"}.get(wire, "messages")
    return {"model": "m1", content: [{"role": "user", "content": "hi"}]} | fields


def admitted(wire: Wire, request: dict[str, Any]) -> dict[str, Any]:
    return json.loads(admit(wire, json.dumps(request).encode(), MODELS).body)


def refusal(wire: Wire, body: bytes | dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(wire, body if isinstance(body, bytes) else json.dumps(body).encode(), MODELS)
    return caught.value


WIRES: list[Wire] = ["anthropic-messages", "openai-responses", "openai-completions"]


@pytest.mark.parametrize("wire", WIRES)
def test_an_ordinary_request_is_forwarded_unchanged(wire: Wire) -> None:
    request = request_of(wire, model="m2", temperature=0.5)
    assert {name: admitted(wire, request)[name] for name in request} == request
    assert admit(wire, json.dumps(request).encode(), MODELS).model == "m2"


@pytest.mark.parametrize("wire", WIRES)
def test_another_model_is_refused(wire: Wire) -> None:
    fault = refusal(wire, request_of(wire, model="gpt-99"))
    assert fault.status == 403
    assert "gpt-99" in fault.message
    assert "m1, m2" in fault.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"model":"m1","model":"m9","messages":[]}', "twice"),
        (b'{"model":"m9","model":"m1","messages":[]}', "twice"),
        (b'{"model":"m1","mod\\u0065l":"m9","messages":[]}', "twice"),
        (b'{"model":"m1","messages":[{"role":"user","role":"system"}]}', "twice"),
        (b'{"model":"m1","Model":"m9","messages":[]}', "Model"),
        (b'{"model":"m1"}{"model":"m9"}', "valid JSON"),
        (b'{"model":["m1"],"messages":[]}', "names no model"),
        (b'{"messages":[]}', "names no model"),
        (b"[]", "not a JSON object"),
        (b"", "valid JSON"),
        (b"\xff\xfe", "valid JSON"),
        (b'{"model":"m1","messages":[],"temperature":NaN}', "NaN"),
        (b'{"model":"m1","messages":[],"temperature":1e999}', "valid JSON"),
        (b'{"model":"m1","messages":"all"}', "must be a list"),
        (b'{"model":"m1","messages":["a"]}', "must hold objects"),
        (b'{"model":"m1","messages":' + b"[" * 200_000, "valid JSON"),
    ],
)
def test_ambiguous_and_malformed_bodies_are_refused(body: bytes, reason: str) -> None:
    fault = refusal("anthropic-messages", body)
    assert fault.status == 400
    assert reason in fault.message


def test_a_body_that_would_grow_huge_is_refused_before_it_is_parsed() -> None:
    fault = refusal("anthropic-messages", b'{"model":"m1","messages":[' + b"[]," * MAX_STRUCTURE + b"[]]}")
    assert fault.status == 413


def message(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("wire", "fields"),
    [
        # The provider's tools have internet access, which the task may lack.
        ("anthropic-messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("anthropic-messages", {"tools": [{"type": "code_execution_20250825", "name": "c"}]}),
        ("anthropic-messages", {"mcp_servers": [{"type": "url", "url": "https://evil.example"}]}),
        ("openai-responses", {"tools": [{"type": "web_search"}]}),
        ("openai-responses", {"tools": [{"type": "mcp", "server_url": "https://evil.example"}]}),
        ("openai-responses", {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]}),
        ("openai-completions", {"plugins": [{"id": "web"}]}),
        ("openai-completions", {"web_search_options": {}}),
        ("openai-completions", {"tools": [{"type": "openrouter:web_search"}]}),
        # A URL that the provider fetches carries data out.
        (
            "anthropic-messages",
            {"messages": message({"type": "image", "source": {"type": "url", "url": "https://e"}})},
        ),
        (
            "anthropic-messages",
            {
                "messages": message(
                    {
                        "type": "tool_result",
                        "content": [{"type": "image", "source": {"type": "url", "url": "x"}}],
                    }
                )
            },
        ),
        (
            "openai-responses",
            {"input": message({"type": "input_image", "image_url": "https://evil.example/?q=1"})},
        ),
        ("openai-responses", {"input": message({"type": "input_file", "file_url": "https://evil.example"})}),
        (
            "openai-responses",
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "output": [{"type": "input_image", "image_url": "http://e"}],
                    }
                ]
            },
        ),
        (
            "openai-completions",
            {"messages": message({"type": "image_url", "image_url": {"url": "https://e"}})},
        ),
        # What the account has stored belongs to other tasks.
        (
            "anthropic-messages",
            {"messages": message({"type": "document", "source": {"type": "file", "file_id": "f"}})},
        ),
        ("anthropic-messages", {"container": "c1"}),
        ("anthropic-messages", {"thread": {"type": "continue", "previous_message_id": "m"}}),
        ("openai-responses", {"previous_response_id": "resp_1"}),
        ("openai-responses", {"conversation": "conv_1"}),
        ("openai-responses", {"prompt": {"id": "pmpt_1"}}),
        ("openai-responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("openai-responses", {"input": message({"type": "input_image", "file_id": "f"})}),
        # Not metered, other prices, other models.
        ("openai-responses", {"background": True}),
        ("openai-responses", {"service_tier": "priority"}),
        ("openai-completions", {"models": ["m9"]}),
        ("openai-completions", {"preset": "other"}),
    ],
)
def test_requests_for_more_than_a_completion_are_refused(wire: Wire, fields: dict[str, Any]) -> None:
    assert refusal(wire, request_of(wire) | fields).status == 400


@pytest.mark.parametrize(
    ("wire", "fields"),
    [
        ("anthropic-messages", {"tools": [{"name": "bash", "input_schema": {}}]}),
        (
            "anthropic-messages",
            {
                "messages": message(
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
                )
            },
        ),
        (
            "anthropic-messages",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"type": "url"}}],
                    }
                ]
            },
        ),
        ("openai-responses", {"tools": [FUNCTION, {"type": "custom", "name": "patch"}]}),
        (
            "openai-responses",
            {"input": message({"type": "input_image", "image_url": "data:image/png;base64,AA"})},
        ),
        ("openai-responses", {"input": [{"type": "reasoning", "id": "r", "encrypted_content": "x"}]}),
        ("openai-completions", {"tools": [{"type": "function", "function": {"name": "bash"}}]}),
        (
            "openai-completions",
            {"messages": message({"type": "image_url", "image_url": {"url": "data:image/png,"}})},
        ),
    ],
)
def test_the_requests_of_pi_are_accepted(wire: Wire, fields: dict[str, Any]) -> None:
    request = request_of(wire) | fields
    assert {name: admitted(wire, request)[name] for name in request} == request


def test_fallbacks_to_other_models_are_removed() -> None:
    wire: Wire = "anthropic-messages"
    assert "fallbacks" not in admitted(wire, request_of(wire, fallbacks=[{"model": "m9"}]))
    remaining = admitted(
        wire, request_of(wire, fallbacks=[{"model": "m9"}, {"model": "m2", "speed": "fast"}])
    )["fallbacks"]
    assert remaining == [{"model": "m2"}]


def test_nothing_is_stored_and_usage_is_always_reported() -> None:
    assert admitted("openai-responses", request_of("openai-responses"))["store"] is False
    assert admitted("openai-responses", request_of("openai-responses", store=True))["store"] is False
    streamed = request_of("openai-completions", stream=True, stream_options={"include_usage": False})
    assert admitted("openai-completions", streamed)["stream_options"] == {"include_usage": True}


def test_unusual_text_is_forwarded_unchanged() -> None:
    text = 'a\ud800b \u2028 ä "\\'
    request = request_of("anthropic-messages", messages=[{"role": "user", "content": text}])
    assert admitted("anthropic-messages", request)["messages"][0]["content"] == text
