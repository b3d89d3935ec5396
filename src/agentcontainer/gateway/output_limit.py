"""How much a request can use at most, and how its output is lowered to what a budget grants."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from agentcontainer.domain.models import catalogue
from agentcontainer.domain.models.catalogue import Provider
from agentcontainer.gateway.admission import Admitted, Refused
from agentcontainer.gateway.budget import Ask
from agentcontainer.gateway.upstreams import Wire

_IMAGE_TOKENS = 10_000  # above what the providers count for the largest image that they take
_DOCUMENT_TOKENS = 1_000_000  # a page may hold anything: the whole context window
_UNSEEN_TOKENS = 1000  # what providers put before a request themselves, for tools above all
_LEAST_THINKING = 1024  # Anthropic takes no less

_OUTPUT_FIELDS: Mapping[Wire, tuple[str, ...]] = {
    "anthropic-messages": ("max_tokens",),
    "openai-responses": ("max_output_tokens",),
    "openai-completions": ("max_completion_tokens", "max_tokens"),
}


def ask_of(admitted: Admitted, provider: Provider) -> Ask:
    """The most that the request can use.

    Raises:
        Refused: 400, its output limit is no number.
    """
    known = catalogue.find(provider, admitted.model)
    input_ = admitted.text_tokens + admitted.media.images * _IMAGE_TOKENS + _UNSEEN_TOKENS
    if admitted.media.documents:
        input_ += _DOCUMENT_TOKENS
    if known is not None:
        input_ = min(input_, known.context_window)
    named = [admitted.tail[field] for field in _OUTPUT_FIELDS[admitted.wire] if field in admitted.tail]
    for value in named:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise Refused(400, "The request's output limit is not a number of tokens.")
    most = catalogue.max_tokens(provider, admitted.model)
    has_long_writes = admitted.wire == "anthropic-messages" and b'"ttl"' in admitted.head
    return Ask(admitted.model, input_, min([*named, most]), has_long_writes)


def with_output(admitted: Admitted, provider: Provider, tokens: int) -> Admitted:
    """The request with an output of at most `tokens`, and with no other model to fall back to.

    Reasoning that is given tokens of its own gets half of them, or none when that is too little.
    """
    tail = {name: value for name, value in admitted.tail.items() if name != "fallbacks"}
    fields = _OUTPUT_FIELDS[admitted.wire]
    known = catalogue.find(provider, admitted.model)
    is_all_it_writes = known is not None and tokens >= known.max_tokens
    # A model's own limit goes unsaid: some hosts want it to fit into the context window beside the input.
    for field in [name for name in fields if name in tail] or ([] if is_all_it_writes else [fields[-1]]):
        tail[field] = min(tail.get(field, tokens), tokens)
    for field, limit in (("thinking", "budget_tokens"), ("reasoning", "max_tokens")):
        if field in tail:
            tail |= _reasoning(field, limit, tail.pop(field), tokens)
    return replace(admitted, tail=tail)


def _reasoning(field: str, limit: str, asked: object, tokens: int) -> dict[str, Any]:
    given = cast(dict[str, Any], asked).get(limit) if isinstance(asked, dict) else None
    if not isinstance(given, int) or given < tokens:
        return {field: asked}
    half = tokens // 2
    return {field: cast(dict[str, Any], asked) | {limit: half}} if half >= _LEAST_THINKING else {}
