"""What may be asked of a provider: the check between a sandbox and somebody's key.

Bodies are allow-listed down to content blocks, because providers run more than models: hosted tools and file URLs
would give a sandbox without internet one, stored items would show other tasks' data, and fallback lists would
reach models that are not the task's. The allowed fields are those that the pinned Pi sends, and plain sampling.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from agentcontainer.gateway.token_estimate import tokens_at_most
from agentcontainer.gateway.upstreams import Wire

MAX_STRUCTURE = 1_000_000  # commas and brackets; it bounds what a body grows to in memory, to about 100 MB

_SAMPLING = {"model", "stream", "temperature", "top_p", "metadata", "tools", "tool_choice"}
_FIELDS: Mapping[Wire, frozenset[str]] = {
    "anthropic-messages": frozenset(
        _SAMPLING
        | {
            "messages",
            "system",
            "max_tokens",
            "thinking",
            "output_config",
            "fallbacks",
            "top_k",
            "stop_sequences",
        }
        | {"cache_control"}
    ),
    "openai-responses": frozenset(
        _SAMPLING
        | {
            "input",
            "instructions",
            "max_output_tokens",
            "reasoning",
            "include",
            "store",
            "text",
            "truncation",
        }
        | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "parallel_tool_calls"}
    ),
    "openai-completions": frozenset(
        _SAMPLING
        | {
            "messages",
            "max_tokens",
            "max_completion_tokens",
            "reasoning",
            "reasoning_effort",
            "store",
            "stop",
        }
        | {"prompt_cache_key", "prompt_cache_retention", "stream_options", "response_format", "seed"}
        | {"frequency_penalty", "presence_penalty", "top_k", "parallel_tool_calls", "usage"}
    ),
}
_TAIL = (
    "max_tokens", "max_output_tokens", "max_completion_tokens", "thinking", "reasoning", "fallbacks",
)  # fmt: skip
_ANTHROPIC_BLOCKS = {"text", "thinking", "redacted_thinking", "tool_use", "tool_removal"}
_RESPONSES_ITEMS = {
    "function_call",
    "custom_tool_call",
    "reasoning",
    "tool_search_call",
    "configuration_update",
}
_RESPONSES_PARTS = {"input_text", "output_text", "refusal"}


class Refused(Exception):
    """The gateway answers this request itself, with `status` and the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Media:
    """What of a request is not counted as text: images by their number, documents by their being there."""

    images: int = 0
    image_tokens: int = 0  # what the images would count for as text
    documents: int = 0


@dataclass(frozen=True)
class Admitted:
    """A checked request, written anew from what was checked, so nothing unseen is sent on: `head`, and the fields
    in `tail`, which a budget may change (output.py)."""

    wire: Wire
    model: str
    head: bytes
    tail: Mapping[str, Any]
    media: Media
    text_tokens: int
    """At most, without the images."""

    @property
    def body(self) -> bytes:
        return self.head[:-1] + b"," + _dump(self.tail)[1:] if self.tail else self.head


def admit(wire: Wire, body: bytes, models: frozenset[str]) -> Admitted:
    """The request in `body`, if it asks one of `models` and for nothing but a model's answer.

    Raises:
        Refused: 400 malformed or a field that does not pass, 403 another model.
    """
    request = _parse(body)
    model = request.get("model")
    if not isinstance(model, str):
        raise Refused(400, "The request names no model.")
    if model not in models:
        raise Refused(403, f"The model {model[:200]} is not one of this task's: {', '.join(sorted(models))}.")
    for field in request.keys() - _FIELDS[wire]:
        raise Refused(400, f"The model gateway does not pass the field {field[:100]}.")
    media = Media()
    _CHECKS[wire](request, media)
    _settle(wire, request, models)
    tail = {name: request.pop(name) for name in _TAIL if name in request}
    head = _dump(request)
    text_tokens = max(0, tokens_at_most(head) - media.image_tokens) + len(_dump(tail))
    return Admitted(wire, model, head, tail, media, text_tokens)


def _parse(body: bytes) -> dict[str, Any]:
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_STRUCTURE:
        raise Refused(413, "The request holds too many values.")
    try:
        request = json.loads(body, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request is not proper JSON: {str(error)[:200]}") from None
    if not isinstance(request, dict):
        raise Refused(400, "The request is not a JSON object.")
    return cast(dict[str, Any], request)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _dump(request: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate, as tool output may hold: only the escaped form carries it
        return json.dumps(request, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request is not proper JSON: {str(error)[:200]}") from None


def _settle(wire: Wire, request: dict[str, Any], models: frozenset[str]) -> None:
    """What the platform decides, whatever was asked: no other models, nothing stored, usage always reported."""
    if wire == "anthropic-messages" and "fallbacks" in request:
        allowed = [
            entry
            for entry in _dicts(request.pop("fallbacks"), "fallbacks")
            if isinstance(entry.get("model"), str) and entry["model"] in models
        ]
        if allowed:
            request["fallbacks"] = [{"model": entry["model"]} for entry in allowed]
    if wire == "openai-responses" or "store" in request:
        request["store"] = False
    if wire == "openai-completions" and request.get("stream") is True:
        request["stream_options"] = {"include_usage": True}


def _dicts(value: object, where: str) -> Iterable[dict[str, Any]]:
    if not isinstance(value, list):
        raise Refused(400, f"{where} must be a list.")
    for entry in cast(list[object], value):
        if not isinstance(entry, dict):
            raise Refused(400, f"{where} must hold objects.")
        yield cast(dict[str, Any], entry)


def _parts(content: object, where: str) -> Iterable[dict[str, Any]]:
    """The parts of a content that is text or a list of parts."""
    return () if content is None or isinstance(content, str) else _dicts(content, where)


def _kind(holder: Mapping[str, Any], otherwise: str | None = None) -> str | None:
    """Its `type`. A request may put anything there, and only a string can be looked up. Raises: Refused."""
    kind: object = holder.get("type", otherwise)
    if kind is None or isinstance(kind, str):
        return kind
    raise Refused(400, "A type in the request is not a string.")


def _unknown(where: str, kind: object) -> Refused:
    return Refused(400, f"The model gateway does not pass {where} of type {str(kind)[:100]}.")


def _check_tools(tools: object, allowed: tuple[str | None, ...]) -> None:
    for tool in () if tools is None else _dicts(tools, "tools"):
        if (kind := _kind(tool)) not in allowed:
            raise _unknown("tools", kind)


def _is_inline(url: object) -> bool:
    """True for a data: URL. A provider would fetch any other, and so carry data out of the sandbox."""
    return isinstance(url, str) and url[:5].lower() == "data:"


def _count_image(media: Media, data: object) -> None:
    media.images += 1
    if isinstance(data, str):
        media.image_tokens += tokens_at_most(data.encode("utf-8", "surrogatepass"))


def _check_anthropic(request: dict[str, Any], media: Media) -> None:
    _check_tools(request.get("tools"), (None, "custom"))
    _check_anthropic_blocks(request.get("system"), media)
    for message in _dicts(request.get("messages"), "messages"):
        _check_anthropic_blocks(message.get("content"), media)


def _check_anthropic_blocks(content: object, media: Media) -> None:
    for block in _parts(content, "content"):
        kind = _kind(block)
        if kind in ("image", "document"):
            source = block.get("source")
            if not isinstance(source, dict) or cast(dict[str, Any], source).get("type") not in (
                "base64",
                "text",
            ):
                raise Refused(
                    400, f"An {kind} must be sent as base64: the model gateway passes no URLs or file ids."
                )
            if kind == "image":
                _count_image(media, cast(dict[str, Any], source).get("data"))
            else:
                media.documents += 1
        elif kind == "tool_result":
            _check_anthropic_blocks(block.get("content"), media)
        elif kind == "tool_addition":
            tool = block.get("tool")
            definition = cast(dict[str, Any], tool).get("definition") if isinstance(tool, dict) else None
            _check_tools([definition], (None, "custom"))
        elif kind not in _ANTHROPIC_BLOCKS:
            raise _unknown("content", kind)


def _check_responses(request: dict[str, Any], media: Media) -> None:
    _check_tools(request.get("tools"), ("function", "custom"))
    for item in _parts(request.get("input"), "input"):
        kind = _kind(item, "message")
        if kind == "message":
            _check_responses_parts(item.get("content"), media)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            _check_responses_parts(item.get("output"), media)
        elif kind in ("tool_search_output", "additional_tools"):
            _check_tools(item.get("tools"), ("function", "custom"))
        elif kind not in _RESPONSES_ITEMS:
            raise _unknown("input", kind)


def _check_responses_parts(content: object, media: Media) -> None:
    for part in _parts(content, "content"):
        kind = _kind(part)
        if kind == "input_image":
            if not _is_inline(part.get("image_url")) or part.get("file_id") is not None:
                raise Refused(
                    400, "An image must be sent inline: the model gateway passes no URLs or file ids."
                )
            _count_image(media, part.get("image_url"))
        elif kind not in _RESPONSES_PARTS:
            raise _unknown("content", kind)


def _check_completions(request: dict[str, Any], media: Media) -> None:
    _check_tools(request.get("tools"), ("function", "custom"))
    for message in _dicts(request.get("messages"), "messages"):
        _check_tools(message.get("tools"), ("function", "custom"))
        for part in _parts(message.get("content"), "content"):
            kind = _kind(part)
            if kind == "image_url":
                image = part.get("image_url")
                if not isinstance(image, dict) or not _is_inline(cast(dict[str, Any], image).get("url")):
                    raise Refused(400, "An image must be sent inline: the model gateway passes no URLs.")
                _count_image(media, cast(dict[str, Any], image).get("url"))
            elif kind not in ("text", "refusal"):
                raise _unknown("content", kind)


_CHECKS: Mapping[Wire, Callable[[dict[str, Any], Media], None]] = {
    "anthropic-messages": _check_anthropic,
    "openai-responses": _check_responses,
    "openai-completions": _check_completions,
}
