"""The estimate of a request's maximum usage, and the lowering of its output limit."""

import json
from typing import Any

import pytest

from agentcontainer.domain.models.token_estimate import tokens_at_most
from agentcontainer.gateway.admission import Admitted, admit
from agentcontainer.gateway.output_limit import estimate_of, with_output
from agentcontainer.gateway.upstreams import Wire

SONNET = "claude-sonnet-4-6"


def admitted(
    wire: Wire = "anthropic-messages", model: str = SONNET, content: Any = "hi", **fields: Any
) -> Admitted:
    name = "input" if wire == "openai-responses" else "messages"
    request = {"model": model, name: [{"role": "user", "content": content}]} | fields
    return admit(wire, json.dumps(request).encode(), frozenset({model}))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [  # by hand: a token for each word, mark, line end, for two or three digits, and up to two for a character
        ("The quick brown fox jumps over the lazy dog. ", 10),
        ("for i in range(10):\n    print(i, data[i])\n", 17),
        ("2024-01-01,12.50,34.75,0.33\n", 19),
        ("敏捷的棕色狐狸跳过了懒狗。", 26),
        ("Donaudampfschifffahrtsgesellschaft ", 14),
        ("🙂🚀", 5),
        ("SGVsbG8gd29ybGQhIFRoaXMgaXMgYmFzZTY0Lg==", 28),
    ],
)
def test_ordinary_text_is_never_estimated_too_low(text: str, tokens: int) -> None:
    assert tokens <= tokens_at_most(text.encode()) <= 3.5 * tokens
    short, long = (
        estimate_of(admitted(content=text * times), "anthropic").input_tokens for times in (1, 1001)
    )
    assert long - short >= 1000 * tokens


def test_the_input_estimate_is_at_most_the_context_window() -> None:
    assert estimate_of(admitted(content="x" * 10_000_000), "anthropic").input_tokens == 1_000_000
    unknown = admitted(model="claude-new", content="x" * 10_000_000)
    assert estimate_of(unknown, "anthropic").input_tokens > 5_000_000


@pytest.mark.parametrize(
    ("wire", "part"),
    [
        ("anthropic-messages", {"type": "image", "source": {"type": "base64", "data": "A" * 400_000}}),
        ("openai-responses", {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 400_000}),
        ("openai-completions", {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}),
    ],
)  # fmt: skip
def test_an_image_has_a_fixed_token_estimate(wire: Wire, part: dict[str, Any]) -> None:
    providers: dict[Wire, str] = {"anthropic-messages": "anthropic", "openai-responses": "openai"}
    small, large = (
        estimate_of(admitted(wire, "new", [part] * count), providers.get(wire, "openrouter")).input_tokens
        for count in (1, 2)
    )
    assert 10_000 <= small < 15_000
    assert 10_000 <= large - small < 11_000


def test_text_that_resembles_an_image_is_estimated_as_text() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "A" * 400_000}}
    call = {"type": "tool_use", "id": "t", "name": "bash", "input": picture}
    assert estimate_of(admitted(content=[call]), "anthropic").input_tokens > 200_000


def test_a_document_may_fill_the_context_window() -> None:
    document = {"type": "document", "source": {"type": "base64", "data": "A"}}
    assert estimate_of(admitted(content=[document]), "anthropic").input_tokens == 1_000_000


def test_long_lived_cache_entries_are_estimated_at_their_higher_price() -> None:
    block = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert estimate_of(admitted(content=[block]), "anthropic").has_long_writes
    assert not estimate_of(admitted(), "anthropic").has_long_writes


@pytest.mark.parametrize(
    ("fields", "expected"), [({}, 128_000), ({"max_tokens": 5}, 5), ({"max_tokens": 10**9}, 128_000)]
)
def test_the_output_is_at_most_what_is_asked_for_and_what_the_model_writes(
    fields: dict[str, int], expected: int
) -> None:
    assert estimate_of(admitted(**fields), "anthropic").output_tokens == expected


def test_reasoning_with_tokens_of_its_own_stays_below_the_output() -> None:
    def lowered(tokens: int, **fields: Any) -> dict[str, Any]:
        return json.loads(
            with_output(admitted("openai-completions", "m", **fields), "openrouter", tokens).body
        )

    assert lowered(4000, reasoning={"max_tokens": 8000})["reasoning"] == {"max_tokens": 2000}
    assert "reasoning" not in lowered(1000, reasoning={"max_tokens": 8000})
    assert lowered(1000, reasoning={"effort": "high"})["reasoning"] == {"effort": "high"}
    lowered_body = lowered(1000, max_tokens=5000, max_completion_tokens=400)
    assert (lowered_body["max_tokens"], lowered_body["max_completion_tokens"]) == (1000, 400)
