"""Pi's RPC frames (one JSON object a line) ↔ typed events.

Pi runs inside the sandbox, and the agent can write to Pi's own stdout: every frame is untrusted. Whatever
its shape, it becomes an event within the sizes below, or nothing. Pi documents the frames in docs/json.md.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

from agentcontainer import db, json_syntax

MAX_FRAME_BYTES = 16 * 1024**2  # an image that a tool read travels in one frame
MAX_FRAME_STRUCTURE = 200_000  # commas and brackets; with nothing else, a frame takes seconds to read
MAX_TEXT_CHARACTERS = 1024**2
MAX_OUTPUT_CHARACTERS = 64 * 1024
MAX_INPUT_BYTES = 64 * 1024
MAX_INPUT_DEPTH = 50
MAX_ERROR_CHARACTERS = 4000
MAX_NAME_CHARACTERS = 200
MAX_COUNT = 2**53
CUT = "… (cut)"

# Frames that repeat what others tell: dropped unread, since `agent_end` alone carries the whole run.
_UNREAD = tuple(
    f'{{"type":"{name}"'.encode()
    for name in ("agent_end", "turn_end", "message_start", "tool_execution_update", "queue_update")
)


class PiError(Exception):
    """Talking to Pi failed; the base of all ways."""


class PiProtocolError(PiError):
    """Pi breaks its protocol in a way that cannot be overlooked: a frame without end, no answer, a flood."""


@dataclass(frozen=True)
class TurnStarted:
    """One model request and the tools it leads to begin."""


@dataclass(frozen=True)
class TextDelta:
    """Some more of the assistant's text; `MessageCompleted` has the whole, or what there was of it at an error.

    `block`: which of the message's contents it belongs to. A `TurnStarted` comes before the first of a message.
    """

    text: str
    block: int = 0


@dataclass(frozen=True)
class MessageCompleted:
    """A message is whole. An assistant's `stop_reason`: `stop`, `toolUse`, `length`, `aborted` or `error`."""

    role: Literal["user", "assistant"]
    text: str
    stop_reason: str
    error_message: str


@dataclass(frozen=True)
class ToolStarted:
    """A tool runs. `input` is None when it was too large to tell, and the reason is set."""

    call_id: str
    tool: str
    input: dict[str, Any] | None
    input_omitted_reason: Literal["too_large"] | None = None


@dataclass(frozen=True)
class ToolCompleted:
    """A tool ended; `output` is its text, cut at `MAX_OUTPUT_CHARACTERS`."""

    call_id: str
    tool: str
    is_error: bool
    output: str


@dataclass(frozen=True)
class RetryStarted:
    """A model request failed in a way that may pass; Pi waits, then asks again."""

    attempt: int


@dataclass(frozen=True)
class Settled:
    """Pi has nothing more to do by itself and waits for a prompt."""


@dataclass(frozen=True)
class CommandFailed:
    """Pi refused something that no command of ours waits for."""

    command: str
    error: str


PiEvent = (
    TurnStarted
    | TextDelta
    | MessageCompleted
    | ToolStarted
    | ToolCompleted
    | RetryStarted
    | Settled
    | CommandFailed
)


@dataclass(frozen=True)
class Response:
    """Pi's answer to the command `id`."""

    id: str
    command: str
    is_success: bool
    error: str
    disposition: str


class FrameSplitter:
    """Bytes in, whole frames out, split on LF alone; holds one frame of at most `MAX_FRAME_BYTES`."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._is_unread = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end within `data`.

        Raises:
            PiProtocolError: the frame under way is too long.
        """
        frames: list[bytes] = []
        *ended, begun = data.split(b"\n")
        for piece in ended:
            self._append(piece)
            if self._frame:
                frames.append(bytes(self._frame))
            self._frame.clear()
            self._is_unread = False
        self._append(begun)
        return frames

    def _append(self, piece: bytes) -> None:
        if self._is_unread:
            return
        self._frame += piece
        if self._frame.startswith(_UNREAD):
            self._is_unread = True
            self._frame.clear()
        elif len(self._frame) > MAX_FRAME_BYTES:
            raise PiProtocolError(f"Pi sent a frame of more than {MAX_FRAME_BYTES} bytes")


def parse(frame: bytes) -> PiEvent | Response | None:
    """What a frame says; None when it says nothing we use.

    Raises:
        ValueError: it is not a JSON object, or one of too many values.
    """
    text = frame.decode(errors="replace")
    decoded = json_syntax.loads(text, is_strict=True, max_values=MAX_FRAME_STRUCTURE)
    if not isinstance(decoded, dict):
        raise ValueError("not an object")
    fields = cast("dict[str, Any]", decoded)
    match fields.get("type"):
        case "turn_start":
            return TurnStarted()
        case "message_update":
            return _text_delta(_object(fields.get("assistantMessageEvent")))
        case "message_end":
            return _message(_object(fields.get("message")))
        case "tool_execution_start":
            return _tool_started(fields, len(frame))
        case "tool_execution_end":
            return ToolCompleted(
                call_id=_text(fields.get("toolCallId"), MAX_NAME_CHARACTERS),
                tool=_text(fields.get("toolName"), MAX_NAME_CHARACTERS),
                is_error=fields.get("isError") is True,
                output=_content(_object(fields.get("result")).get("content"), MAX_OUTPUT_CHARACTERS),
            )
        case "auto_retry_start":
            return RetryStarted(_count(fields.get("attempt")))
        case "agent_settled":
            return Settled()
        case "response":
            return _response(fields)
        case _:
            return None


def _text_delta(update: dict[str, Any]) -> TextDelta | None:
    text = _text(update.get("delta"), MAX_TEXT_CHARACTERS)
    if update.get("type") != "text_delta" or not text:
        return None
    return TextDelta(text, _count(update.get("contentIndex")))


def _message(message: dict[str, Any]) -> MessageCompleted | None:
    role = message.get("role")
    if role not in ("user", "assistant"):
        return None
    return MessageCompleted(
        role=role,
        text=_content(message.get("content"), MAX_OUTPUT_CHARACTERS),
        stop_reason=_text(message.get("stopReason"), MAX_NAME_CHARACTERS),
        error_message=_text(message.get("errorMessage"), MAX_ERROR_CHARACTERS),
    )


def _tool_started(fields: dict[str, Any], frame_bytes: int) -> ToolStarted:
    given = _object(fields.get("args"))
    is_told = frame_bytes <= MAX_INPUT_BYTES and _is_shallow(given, MAX_INPUT_DEPTH)
    return ToolStarted(
        call_id=_text(fields.get("toolCallId"), MAX_NAME_CHARACTERS),
        tool=_text(fields.get("toolName"), MAX_NAME_CHARACTERS),
        input=db.storable(given) if is_told else None,
        input_omitted_reason=None if is_told else "too_large",
    )


def _response(fields: dict[str, Any]) -> Response:
    return Response(
        id=_text(fields.get("id"), MAX_NAME_CHARACTERS),
        command=_text(fields.get("command"), MAX_NAME_CHARACTERS),
        is_success=fields.get("success") is True,
        error=_text(fields.get("error"), MAX_ERROR_CHARACTERS),
        disposition=_text(_object(fields.get("data")).get("disposition"), MAX_NAME_CHARACTERS),
    )


def _content(content: object, limit: int) -> str:
    """The text of a message's or result's content, which is a string or a list of blocks."""
    if not isinstance(content, list):
        return _text(content, limit)
    texts: list[str] = []
    for block in map(_object, cast("list[object]", content)):
        if block.get("type") == "text":
            texts.append(_text(block.get("text"), limit))
        elif block.get("type") == "image":
            texts.append("[image]")
    return _text("\n\n".join(texts), limit)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object, limit: int) -> str:
    """A string the database can hold, of at most `limit` characters; anything else is empty."""
    if not isinstance(value, str):
        return ""
    return db.storable(value if len(value) <= limit else value[: limit - len(CUT)] + CUT)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return min(max(int(value), 0), MAX_COUNT)


def _is_shallow(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in cast("list[object]", value))
