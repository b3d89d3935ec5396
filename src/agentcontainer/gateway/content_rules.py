"""Decides which messages, content blocks and tools a model request may contain, for each wire protocol.

Everything that is not listed is refused, so that a feature which a provider adds later does not pass unexamined.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from agentcontainer.domain.models.token_estimate import tokens_at_most
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.refusal import Refused
from agentcontainer.gateway.upstreams import Wire

_ANTHROPIC_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "tool_removal"})
_ANTHROPIC_TOOLS = (None, "custom")
_OPENAI_TOOLS = ("function", "custom")
_RESPONSES_ITEMS = frozenset(
    {"function_call", "custom_tool_call", "reasoning", "tool_search_call", "configuration_update"}
)
_RESPONSES_PARTS = frozenset({"input_text", "output_text", "refusal"})
_COMPLETIONS_PARTS = frozenset({"text", "refusal"})


@dataclass
class Media:
    """The images and documents of a request; their tokens are not estimated from their bytes."""

    images: int = 0
    image_tokens: int = 0  # what the images' base64 would count for as text
    documents: int = 0


def check_content(wire: Wire, request: JsonObject) -> Media:
    """Check the request's messages, blocks and tools; return its media.

    Raises:
        Refused: 400, something is not on the list or is malformed.
    """
    media = Media()
    _CHECKS[wire](request, media)
    return media


def objects_of(value: object, where: str) -> Iterable[JsonObject]:
    """The entries of a list of objects.

    Raises:
        Refused: 400, `value` is anything else; the message names `where`.
    """
    if not isinstance(value, list):
        raise Refused(400, f"{where} must be a list.")
    for entry in cast("list[object]", value):
        item = JsonObject.of(entry)
        if item is None:
            raise Refused(400, f"{where} must hold objects.")
        yield item


def _parts(content: object, where: str) -> Iterable[JsonObject]:
    """The parts of a content that is either a string or a list of parts."""
    return () if content is None or isinstance(content, str) else objects_of(content, where)


def _type_of(part: JsonObject, default: str | None = None) -> str | None:
    """The part's `type`, which must be a string: any other value could not be looked up in a set."""
    kind = part.fields.get("type", default)
    if kind is None or isinstance(kind, str):
        return kind
    raise Refused(400, "A type in the request is not a string.")


def _unknown(where: str, kind: str | None) -> Refused:
    return Refused(400, f"The model gateway does not pass {where} of type {str(kind)[:100]}.")


def _check_tools(tools: object, allowed: tuple[str | None, ...]) -> None:
    for tool in () if tools is None else objects_of(tools, "tools"):
        if (kind := _type_of(tool)) not in allowed:
            raise _unknown("tools", kind)


def _is_inline(url: object) -> bool:
    """Whether it is a data: URL. The provider would fetch any other URL and so carry data out of the sandbox."""
    return isinstance(url, str) and url[:5].lower() == "data:"


def _count_image(media: Media, data: object) -> None:
    media.images += 1
    if isinstance(data, str):
        media.image_tokens += tokens_at_most(data.encode("utf-8", "surrogatepass"))


def _check_anthropic(request: JsonObject, media: Media) -> None:
    _check_tools(request.get("tools"), _ANTHROPIC_TOOLS)
    _check_anthropic_blocks(request.get("system"), media)
    for message in objects_of(request.get("messages"), "messages"):
        _check_anthropic_blocks(message.get("content"), media)


def _check_anthropic_blocks(content: object, media: Media) -> None:
    for block in _parts(content, "content"):
        kind = _type_of(block)
        if kind in ("image", "document"):
            _check_anthropic_source(kind, block, media)
        elif kind == "tool_result":
            _check_anthropic_blocks(block.get("content"), media)
        elif kind == "tool_addition":
            tool = block.inner("tool")
            _check_tools([tool.get("definition") if tool else None], _ANTHROPIC_TOOLS)
        elif kind not in _ANTHROPIC_BLOCKS:
            raise _unknown("content", kind)


def _check_anthropic_source(kind: str, block: JsonObject, media: Media) -> None:
    source = block.inner("source")
    if source is None or source.get("type") not in ("base64", "text"):
        raise Refused(400, f"An {kind} must be sent as base64: the model gateway passes no URLs or file ids.")
    if kind == "image":
        _count_image(media, source.get("data"))
    else:
        media.documents += 1


def _check_responses(request: JsonObject, media: Media) -> None:
    _check_tools(request.get("tools"), _OPENAI_TOOLS)
    for item in _parts(request.get("input"), "input"):
        kind = _type_of(item, "message")
        if kind == "message":
            _check_responses_parts(item.get("content"), media)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            _check_responses_parts(item.get("output"), media)
        elif kind in ("tool_search_output", "additional_tools"):
            _check_tools(item.get("tools"), _OPENAI_TOOLS)
        elif kind not in _RESPONSES_ITEMS:
            raise _unknown("input", kind)


def _check_responses_parts(content: object, media: Media) -> None:
    for part in _parts(content, "content"):
        kind = _type_of(part)
        if kind == "input_image":
            if not _is_inline(part.get("image_url")) or part.get("file_id") is not None:
                raise Refused(
                    400, "An image must be sent inline: the model gateway passes no URLs or file ids."
                )
            _count_image(media, part.get("image_url"))
        elif kind not in _RESPONSES_PARTS:
            raise _unknown("content", kind)


def _check_completions(request: JsonObject, media: Media) -> None:
    _check_tools(request.get("tools"), _OPENAI_TOOLS)
    for message in objects_of(request.get("messages"), "messages"):
        _check_tools(message.get("tools"), _OPENAI_TOOLS)
        for part in _parts(message.get("content"), "content"):
            _check_completions_part(part, media)


def _check_completions_part(part: JsonObject, media: Media) -> None:
    kind = _type_of(part)
    if kind == "image_url":
        image = part.inner("image_url")
        if image is None or not _is_inline(image.get("url")):
            raise Refused(400, "An image must be sent inline: the model gateway passes no URLs.")
        _count_image(media, image.get("url"))
    elif kind not in _COMPLETIONS_PARTS:
        raise _unknown("content", kind)


_CHECKS: Mapping[Wire, Callable[[JsonObject, Media], None]] = {
    "anthropic-messages": _check_anthropic,
    "openai-responses": _check_responses,
    "openai-completions": _check_completions,
}
