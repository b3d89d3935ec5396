"""Fuzz targets of the model gateway: requests from a sandbox, and responses of a provider."""

import json

from agentcontainer.gateway.admission import admit
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.provider_response import error_message
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.upstreams import Wire
from agentcontainer.gateway.usage import MAX_TOKENS, Meter
from agentcontainer.redaction import REDACTED, Redactor, encodings_of, redact
from tests.fuzz.target import Target, pieces

MODELS = frozenset({"claude-sonnet-4-6", "m"})
WIRES: tuple[Wire, ...] = ("anthropic-messages", "openai-responses", "openai-completions")
KEY = "sk-k/ey"
SECRETS = encodings_of(KEY)


def admitted_request(data: bytes) -> None:
    for wire in WIRES:
        try:
            admitted = admit(wire, data, MODELS)
            reservation = estimate_of(admitted, "anthropic")
        except Refused:
            continue
        assert admitted.model in MODELS
        assert json.loads(admitted.body)["model"] == admitted.model
        assert admit(wire, admitted.body, MODELS).body == admitted.body
        assert reservation.input_tokens >= 0
        assert reservation.output_tokens >= 1
        json.loads(with_output(admitted, "anthropic", 2000).body)


def metered_answer(data: bytes) -> None:
    chunks, stream = pieces(data)
    for wire in WIRES:
        for is_stream in (True, False):
            meter, whole = (Meter(wire, "m", is_stream=is_stream) for _ in range(2))
            for chunk in chunks:
                meter.feed(chunk)
            whole.feed(stream)
            meter.end()
            whole.end()
            assert (meter.usage, meter.error) == (whole.usage, whole.error)
            if (usage := meter.usage) is not None:
                assert 0 <= usage.input_tokens <= 3 * MAX_TOKENS
                assert 0 <= usage.output_tokens <= MAX_TOKENS
    assert len(error_message(stream, "Anthropic", 500)) <= 1000


def redacted_stream(data: bytes) -> None:
    chunks, stream = pieces(data)
    redactor = Redactor(SECRETS)
    passed = b"".join([redactor.feed(chunk) for chunk in chunks]) + redactor.end()
    assert passed == redact(stream, SECRETS)
    assert not any(secret in passed for secret in SECRETS)
    assert passed.count(REDACTED) >= stream.count(KEY.encode())


TARGETS = (
    Target(
        "model-requests",
        admitted_request,
        (
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"max_tokens":100}',
            b'{"model":"m","messages":[{"content":[{"type":"tool_result","content":[{"type":"image","source":'
            b'{"type":"base64","data":"AA"}}]}]}],"tools":[{"name":"a"}],"fallbacks":[{"model":"m"}]}',
            b'{"model":"m","input":[{"type":"message","content":[{"type":"input_image","image_url":"data:x"}]},'
            b'{"type":"function_call_output","output":"x"}],"tools":[{"type":"function"}],"store":true}',
            b'{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}],"stream":true}',
            b'{"model":"m","messages":[],"thinking":{"budget_tokens":5000},"reasoning":{"max_tokens":4}}',
        ),
    ),
    Target(
        "provider-answers",
        metered_answer,
        (
            b'\x03data: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
            b'data: {"type":"message_delta","usage":{"output_tokens":7}}\n\n',
            b'\x07data: {"type":"error","error":{"message":"no"}}\r\n\r\n',
            b'\x01{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens":2}}',
            b'\x02{"error":{"message":"a","metadata":{"raw":"b"}}}',
        ),
    ),
    Target(
        "redacted-streams",
        redacted_stream,
        (b"\x00a sk-k/ey b sk-k\\/ey c sk-k%2Fey", b"\x05sk-sk-k/sk-k/ey"),
    ),
)
