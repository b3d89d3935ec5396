"""Parses Pi's RPC frames, each a JSON object, into events.

Pi documents the frames in docs/json.md.

Pi runs inside the sandbox, and the agent can write to Pi's stdout, so every frame is untrusted. A frame becomes an
event within the sizes below, or is ignored.
"""

from typing import cast

from agentcontainer import db, json_syntax
from agentcontainer.runner.agent.pi_events import (
    CompactionEnded,
    CompactionStarted,
    MessageCompleted,
    PiEvent,
    Response,
    RetryStarted,
    Settled,
    TextDelta,
    ToolCompleted,
    ToolStarted,
    TurnStarted,
)

MAX_FRAME_STRUCTURE = 200_000  # commas and brackets; a frame with more takes seconds to parse
MAX_TEXT_CHARACTERS = 1024**2
MAX_OUTPUT_CHARACTERS = 64 * 1024
MAX_INPUT_BYTES = 64 * 1024
MAX_INPUT_DEPTH = 50
MAX_ERROR_CHARACTERS = 4000
MAX_NAME_CHARACTERS = 200
MAX_COUNT = 2**53
CUT = "… (cut)"


class _Object:
    """An untrusted JSON object. A field that is missing or of another type reads as empty."""

    def __init__(self, value: object) -> None:
        self.fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}

    def object(self, name: str) -> "_Object":
        return _Object(self.fields.get(name))

    def text(self, name: str, limit: int) -> str:
        return _text(self.fields.get(name), limit)

    def name(self, name: str) -> str:
        return self.text(name, MAX_NAME_CHARACTERS)

    def flag(self, name: str) -> bool:
        return self.fields.get(name) is True

    def count(self, name: str) -> int:
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0
        return min(max(int(value), 0), MAX_COUNT)

    def content(self, name: str) -> str:
        """The text of a message's or result's content, which is a string or a list of blocks."""
        content = self.fields.get(name)
        if not isinstance(content, list):
            return _text(content, MAX_OUTPUT_CHARACTERS)
        texts: list[str] = []
        for block in map(_Object, cast("list[object]", content)):
            match block.fields.get("type"):
                case "text":
                    texts.append(block.text("text", MAX_OUTPUT_CHARACTERS))
                case "image":
                    texts.append("[image]")
                case _:
                    pass
        return _text("\n\n".join(texts), MAX_OUTPUT_CHARACTERS)


def parse(frame: bytes) -> PiEvent | Response | None:
    """The event or answer in a frame; None if the runner does not use it.

    Raises:
        ValueError: it is not a JSON object, or has too many values.
    """
    text = frame.decode(errors="replace")
    decoded = json_syntax.loads(text, is_strict=True, max_values=MAX_FRAME_STRUCTURE)
    if not isinstance(decoded, dict):
        raise ValueError("not an object")
    fields = _Object(cast("object", decoded))
    match fields.fields.get("type"):
        case "turn_start":
            return TurnStarted()
        case "message_update":
            return _text_delta(fields.object("assistantMessageEvent"))
        case "message_end":
            return _message(fields.object("message"))
        case "tool_execution_start":
            return _tool_started(fields, len(frame))
        case "tool_execution_end":
            return ToolCompleted(
                call_id=fields.name("toolCallId"),
                tool=fields.name("toolName"),
                is_error=fields.flag("isError"),
                output=fields.object("result").content("content"),
            )
        case "auto_retry_start":
            return RetryStarted(fields.count("attempt"))
        case "compaction_start":
            return CompactionStarted()
        case "compaction_end":
            result = fields.object("result")
            return CompactionEnded(result.count("tokensBefore") if result.fields else None)
        case "agent_settled":
            return Settled()
        case "response":
            return _response(fields)
        case _:
            return None


def _text_delta(update: _Object) -> TextDelta | None:
    text = update.text("delta", MAX_TEXT_CHARACTERS)
    if update.fields.get("type") != "text_delta" or not text:
        return None
    return TextDelta(text, update.count("contentIndex"))


def _message(message: _Object) -> MessageCompleted | None:
    role = message.fields.get("role")
    if role not in ("user", "assistant"):
        return None
    return MessageCompleted(
        role=role,
        text=message.content("content"),
        stop_reason=message.name("stopReason"),
        error_message=message.text("errorMessage", MAX_ERROR_CHARACTERS),
    )


def _tool_started(fields: _Object, frame_bytes: int) -> ToolStarted:
    arguments = fields.object("args").fields
    is_small = frame_bytes <= MAX_INPUT_BYTES and _is_shallow(arguments, MAX_INPUT_DEPTH)
    return ToolStarted(
        call_id=fields.name("toolCallId"),
        tool=fields.name("toolName"),
        input=db.storable(arguments) if is_small else None,
        input_omitted_reason=None if is_small else "too_large",
    )


def _response(fields: _Object) -> Response:
    return Response(
        id=fields.name("id"),
        command=fields.name("command"),
        is_success=fields.flag("success"),
        error=fields.text("error", MAX_ERROR_CHARACTERS),
        disposition=fields.object("data").name("disposition"),
    )


def _text(value: object, limit: int) -> str:
    """A string that the database can hold, cut at `limit` characters; "" for any other value."""
    if not isinstance(value, str):
        return ""
    return db.storable(value if len(value) <= limit else value[: limit - len(CUT)] + CUT)


def _is_shallow(value: object, depth: int) -> bool:
    """Whether the value is nested at most `depth` levels deep."""
    if isinstance(value, dict):
        value = list(cast("dict[object, object]", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in cast("list[object]", value))
