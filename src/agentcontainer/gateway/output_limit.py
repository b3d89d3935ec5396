"""Computes an upper bound of the tokens that a request can use, and lowers its output limit to what is granted."""

from collections.abc import Mapping
from dataclasses import replace

from agentcontainer.domain.models import catalogue
from agentcontainer.gateway.admission import Admitted
from agentcontainer.gateway.budget import Estimate
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.upstreams import Wire

_IMAGE_TOKENS = 10_000  # more than a provider counts for the largest image that it accepts
_DOCUMENT_TOKENS = 1_000_000  # the whole context window: a document's length is not known from its bytes
_PROVIDER_TOKENS = 1000  # for what providers add to the input, above all for tools
_MIN_THINKING = 1024  # Anthropic's lower limit of `budget_tokens`

_OUTPUT_FIELDS: Mapping[Wire, tuple[str, ...]] = {
    "anthropic-messages": ("max_tokens",),
    "openai-responses": ("max_output_tokens",),
    "openai-completions": ("max_completion_tokens", "max_tokens"),
}
_REASONING_LIMITS = {"thinking": "budget_tokens", "reasoning": "max_tokens"}


def estimate_of(admitted: Admitted, provider: str) -> Estimate:
    """Upper bounds of what the request can use.

    Raises:
        Refused: 400, its output limit is not a positive integer.
    """
    model = catalogue.find(provider, admitted.model)
    input_tokens = admitted.text_tokens + admitted.media.images * _IMAGE_TOKENS + _PROVIDER_TOKENS
    if admitted.media.documents:
        input_tokens += _DOCUMENT_TOKENS
    if model is not None:
        input_tokens = min(input_tokens, model.context_window)
    limits = _output_limits(admitted)
    output_tokens = min([*limits.values(), catalogue.max_tokens(provider, admitted.model)])
    has_long_writes = admitted.wire == "anthropic-messages" and b'"ttl"' in admitted.head
    return Estimate(admitted.model, input_tokens, output_tokens, has_long_writes)


def with_output(admitted: Admitted, provider: str, tokens: int) -> Admitted:
    """The request with an output of at most `tokens`, and without other models to fall back to.

    A reasoning budget that exceeds `tokens` is lowered to half of them, or removed if that is too little.
    """
    tail = admitted.tail.without("fallbacks")
    limits = _output_limits(admitted)
    if not limits and not _is_whole_output(admitted, provider, tokens):
        limits = {_OUTPUT_FIELDS[admitted.wire][-1]: tokens}
    for field, limit in limits.items():
        tail = tail.replacing(field, min(limit, tokens))
    for field, limit in _REASONING_LIMITS.items():
        tail = _with_reasoning(tail, field, limit, tokens)
    return replace(admitted, tail=tail)


def _output_limits(admitted: Admitted) -> dict[str, int]:
    limits: dict[str, int] = {}
    for field in _OUTPUT_FIELDS[admitted.wire]:
        if field in admitted.tail:
            value = admitted.tail.get(field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise Refused(400, "The request's output limit is not a number of tokens.")
            limits[field] = value
    return limits


def _is_whole_output(admitted: Admitted, provider: str, tokens: int) -> bool:
    """Whether `tokens` is all that the model can write.

    Such a limit is not sent: some hosts refuse one that does not fit into the context window beside the input.
    """
    model = catalogue.find(provider, admitted.model)
    return model is not None and tokens >= model.max_tokens


def _with_reasoning(tail: JsonObject, field: str, limit: str, tokens: int) -> JsonObject:
    reasoning = tail.inner(field)
    requested = reasoning.get(limit) if reasoning else None
    if reasoning is None or not isinstance(requested, int) or requested < tokens:
        return tail
    half = tokens // 2
    if half < _MIN_THINKING:
        return tail.without(field)
    return tail.replacing(field, reasoning.replacing(limit, half).fields)
