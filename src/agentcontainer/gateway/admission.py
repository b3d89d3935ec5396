"""Decides which model requests of a sandbox may be sent with the provider key.

Request bodies are checked against allow-lists down to content blocks, because providers do more than run models. Hosted
tools and file URLs would give a sandbox without internet access one, stored items would show other tasks' data, and
fallback lists would reach models that are not the task's. The allowed fields are those that the pinned version of Pi
sends, and the usual sampling parameters.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from agentcontainer import json_syntax
from agentcontainer.domain.models.token_estimate import tokens_at_most
from agentcontainer.gateway.content_rules import Media, check_content, objects_of
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.upstreams import Wire

MAX_STRUCTURE = 1_000_000  # commas and brackets; limits the memory of a parsed body to about 100 MB

_SAMPLING = frozenset({"model", "stream", "temperature", "top_p", "metadata", "tools", "tool_choice"})
_FIELDS: Mapping[Wire, frozenset[str]] = {
    "anthropic-messages": _SAMPLING | {
        "messages", "system", "max_tokens", "thinking", "output_config", "fallbacks", "top_k", "stop_sequences",
        "cache_control",
    },
    "openai-responses": _SAMPLING | {
        "input", "instructions", "max_output_tokens", "reasoning", "include", "store", "text", "truncation",
        "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "parallel_tool_calls",
    },
    "openai-completions": _SAMPLING | {
        "messages", "max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort", "store", "stop",
        "prompt_cache_key", "prompt_cache_retention", "stream_options", "response_format", "seed",
        "frequency_penalty", "presence_penalty", "top_k", "parallel_tool_calls", "usage",
    },
}  # fmt: skip
_TAIL = (
    "max_tokens", "max_output_tokens", "max_completion_tokens", "thinking", "reasoning", "fallbacks",
)  # fmt: skip


@dataclass(frozen=True)
class Admitted:
    """A checked request.

    It is serialised again from what was checked, so that the provider cannot parse the bytes differently than we did.
    `head` is the JSON of most fields; `tail` holds those that a budget may change (output_limit.py).
    """

    wire: Wire
    model: str
    head: bytes
    tail: JsonObject
    media: Media
    text_tokens: int
    """Upper bound of the input tokens, images excluded."""
    is_stream: bool

    @property
    def body(self) -> bytes:
        return self.head[:-1] + b"," + _dump(self.tail)[1:] if self.tail.fields else self.head


def admit(wire: Wire, body: bytes, models: frozenset[str]) -> Admitted:
    """Check the request in `body`: it must name one of `models` and ask for nothing but a model's answer.

    Raises:
        Refused: 400 malformed or a field that is not allowed, 403 another model, 413 too many values.
    """
    request = _parse(body)
    model = request.text("model")
    if model is None:
        raise Refused(400, "The request names no model.")
    if model not in models:
        raise Refused(403, f"The model {model[:200]} is not one of this task's: {', '.join(sorted(models))}.")
    for field in request.fields.keys() - _FIELDS[wire]:
        raise Refused(400, f"The model gateway does not pass the field {field[:100]}.")
    media = check_content(wire, request)
    request = _with_our_choices(wire, request, models)
    tail = JsonObject({name: request.get(name) for name in _TAIL if name in request})
    head = _dump(request.without(*_TAIL))
    text_tokens = max(0, tokens_at_most(head) - media.image_tokens) + len(_dump(tail))
    return Admitted(wire, model, head, tail, media, text_tokens, request.get("stream") is True)


def _parse(body: bytes) -> JsonObject:
    try:
        # Strict: of a name that appears twice, the provider might read the value that was not checked.
        parsed = json_syntax.loads(body, is_strict=True, max_values=MAX_STRUCTURE)
    except json_syntax.TooManyValues:
        raise Refused(413, "The request holds too many values.") from None
    except ValueError as error:
        raise Refused(400, f"The request is not valid JSON: {str(error)[:200]}") from None
    request = JsonObject.of(parsed)
    if request is None:
        raise Refused(400, "The request is not a JSON object.")
    return request


def _dump(request: JsonObject) -> bytes:
    fields = request.fields
    try:
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate, which tool output can contain: only its escape can be sent
        return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request is not valid JSON: {str(error)[:200]}") from None


def _with_our_choices(wire: Wire, request: JsonObject, models: frozenset[str]) -> JsonObject:
    """The request with what the platform decides: no other models, nothing stored, usage always reported."""
    if wire == "anthropic-messages" and "fallbacks" in request:
        named = [entry.text("model") for entry in objects_of(request.get("fallbacks"), "fallbacks")]
        allowed = [{"model": model} for model in named if model in models]
        request = request.without("fallbacks")
        if allowed:
            request = request.replacing("fallbacks", allowed)
    if wire == "openai-responses" or "store" in request:
        request = request.replacing("store", False)
    if wire == "openai-completions" and request.get("stream") is True:
        request = request.replacing("stream_options", {"include_usage": True})
    return request
