"""Checks a streamed answer event by event, and repairs what Pi would misread.

An answer that ends without text and without a tool call is not a reply: it becomes an error, which Pi repeats. An
answer that filled the context window becomes one that reached its output limit, after which Pi compacts and goes on.
Tool calls, content blocks and output items that share a stream index get indexes of their own; Pi would join them into
one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcontainer.gateway.content_blocks import ContentBlocks
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.output_items import OutputItems
from agentcontainer.gateway.upstreams import Wire

MAX_LINE_BYTES = 8 * 1024**2  # a longer line is passed on unread
MAX_REASON_CHARACTERS = 100

# Complete answers. Without content, they are empty ones.
_COMPLETE: Mapping[Wire, frozenset[str]] = {
    "anthropic-messages": frozenset({"end_turn", "stop_sequence", "pause_turn"}),
    "openai-responses": frozenset({"completed"}),
    "openai-completions": frozenset({"stop", "end"}),
}
# Reasons that Pi handles. Every other one ends Pi's request with an error.
_HANDLED: Mapping[Wire, frozenset[str]] = {
    "anthropic-messages": _COMPLETE["anthropic-messages"] | {"tool_use", "max_tokens"},
    "openai-responses": _COMPLETE["openai-responses"] | {"max_output_tokens"},
    "openai-completions": _COMPLETE["openai-completions"] | {"length", "tool_calls", "function_call"},
}
_CONTEXT_FULL = "model_context_window_exceeded"
_LAST_RESPONSES_EVENTS = ("response.completed", "response.incomplete")
_RESPONSES_EVENTS = (*_LAST_RESPONSES_EVENTS, "response.output_item.added")


@dataclass
class AnswerStream:
    """One streamed answer. `fault`: what was wrong with it, as the predicate of a sentence about the provider."""

    wire: Wire
    title: str
    fault: str | None = None
    reason: str | None = None
    """Why the provider stopped the answer, in its own words."""
    has_content: bool = False
    """Whether it has text or a tool call so far."""
    _buffer: bytearray = field(default_factory=bytearray)
    _event_line: bytes = b""
    _is_long_line: bool = False
    _is_replaced: bool = False
    _call_indexes: dict[int, tuple[str, int]] = field(default_factory=dict[int, tuple[str, int]])
    _blocks: ContentBlocks = field(default_factory=ContentBlocks)
    _items: OutputItems = field(default_factory=OutputItems)

    def feed(self, chunk: bytes) -> bytes:
        """What to pass on after this chunk of the provider's."""
        *lines, rest = chunk.split(b"\n")
        passed = b"".join(self._end_line(line) for line in lines)
        return passed + self._extend(rest)

    def end(self) -> bytes:
        """What is still to be passed on once the answer has ended."""
        rest = self._event_line + bytes(self._buffer)
        self._buffer.clear()
        self._event_line = b""
        return b"" if self._is_replaced else rest

    def _extend(self, part: bytes) -> bytes:
        self._buffer += part
        if len(self._buffer) <= MAX_LINE_BYTES and not self._is_long_line:
            return b""
        self._is_long_line, self.has_content = True, True
        return self.end()

    def _end_line(self, part: bytes) -> bytes:
        passed = self._extend(part)
        line, self._buffer = bytes(self._buffer) + b"\n", bytearray()
        if self._is_long_line:
            self._is_long_line = False
            return b"" if self._is_replaced else passed + line
        if self._is_replaced:
            return b""
        if line.startswith(b"event:"):  # held back, since the event may be replaced
            self._event_line += line
            return b""
        if line.startswith(b"data:"):
            line = self._data(line)
        event_line, self._event_line = self._event_line, b""
        return line if self._is_replaced else event_line + line

    def _data(self, line: bytes) -> bytes:
        if not self._is_of_interest(line):
            return line
        event = JsonObject.parse(line[5:])
        if event is None:
            return line
        self.has_content = self.has_content or _has_content(self.wire, event)
        if (reason := _stop_reason(self.wire, event)) is not None:
            self.reason = reason[:MAX_REASON_CHARACTERS]
            if end := self._stopped(event, reason):
                return end
        match self.wire:
            case "anthropic-messages":
                return self._with_own_block_index(event) or line
            case "openai-responses":
                return self._with_own_output_index(event) or line
            case "openai-completions":
                return self._with_own_call_indexes(event) or line

    def _is_of_interest(self, line: bytes) -> bool:
        """Whether the line has to be parsed. Most events are text deltas; skipping them saves most of the time."""
        match self.wire:
            case "anthropic-messages":
                marks = (b'"stop_reason"', b'"content_block_start"', b'"content_block_stop"')
                if self._blocks.is_renumbering:
                    return True
            case "openai-responses":
                marks = tuple(f'"{kind}"'.encode() for kind in _RESPONSES_EVENTS)
                if self._items.is_renumbering:
                    return True
            case "openai-completions":
                is_last = b'"finish_reason":' in line and not (
                    b'"finish_reason":null' in line or b'"finish_reason": null' in line
                )
                return not self.has_content or is_last or b'"tool_calls"' in line
        return not self.has_content or any(mark in line for mark in marks)

    def _stopped(self, event: JsonObject, reason: str) -> bytes | None:
        """What to pass on instead of the event that says why the answer stopped; None: the event itself."""
        if reason == _CONTEXT_FULL and self.wire == "anthropic-messages":
            delta = event.inner("delta") or JsonObject({})
            return _line(event.replacing("delta", delta.replacing("stop_reason", "max_tokens").fields))
        detail = _native_reason(event) or reason
        if reason in _COMPLETE[self.wire] and not self.has_content:
            self._is_replaced = True
            self.fault = f"ended without an answer ({detail[:MAX_REASON_CHARACTERS]})"
            return _error(self.wire, f"{self.title} {self.fault}.")
        if reason not in _HANDLED[self.wire]:
            self.fault = f"stopped its answer: {detail[:MAX_REASON_CHARACTERS]}"
        return None

    def _with_own_block_index(self, event: JsonObject) -> bytes | None:
        """The event with an index of its own for each content block; None: nothing to change."""
        index, kind = event.get("index"), event.text("type")
        if not isinstance(index, int):
            return None
        if kind == "content_block_start" and (ended := self._blocks.start(index)) is not None:
            stop = _line(JsonObject({"type": "content_block_stop", "index": ended}))
            self._event_line = b"event: content_block_stop\n" + stop + b"\n" + self._event_line
        own = self._blocks.own(index)
        if kind == "content_block_stop":
            self._blocks.stop(index)
        return None if own == index else _line(event.replacing("index", own))

    def _with_own_output_index(self, event: JsonObject) -> bytes | None:
        """The event with an index of its own for each output item; None: nothing to change."""
        index = event.get("output_index")
        if not isinstance(index, int) or (own := self._items.own_index(event, index)) == index:
            return None
        return _line(event.replacing("output_index", own))

    def _with_own_call_indexes(self, event: JsonObject) -> bytes | None:
        """The event with an index of its own for each tool call; None: nothing to change."""
        is_changed = False
        for choice in event.objects("choices"):
            delta = choice.inner("delta")
            for call in delta.objects("tool_calls") if delta else ():
                index = call.get("index")
                if isinstance(index, int) and (own := self._own_index(index, call.text("id"))) != index:
                    call.fields["index"] = own
                    is_changed = True
        return _line(event) if is_changed else None

    def _own_index(self, index: int, call_id: str | None) -> int:
        call = self._call_indexes.get(index)
        if call is None or (call_id and call[0] and call_id != call[0]):
            used = {own for _, own in self._call_indexes.values()}
            own = index if call is None and index not in used else max(used, default=0) + 1
            call = (call_id or "", own)
            self._call_indexes[index] = call
        return call[1]


def _has_content(wire: Wire, event: JsonObject) -> bool:
    match wire:
        case "anthropic-messages":
            block, delta = event.inner("content_block"), event.inner("delta")
            is_tool = block is not None and block.text("type") not in (
                "text",
                "thinking",
                "redacted_thinking",
            )
            text = (block and block.text("text")) or (delta and delta.text("text"))
            return is_tool or bool(text and text.strip())
        case "openai-responses":
            item = event.inner("item")
            is_tool = item is not None and item.text("type") not in ("message", "reasoning")
            is_text = event.text("type") in ("response.output_text.delta", "response.refusal.delta")
            return is_tool or (is_text and bool((event.text("delta") or "").strip())) or _has_output(event)
        case "openai-completions":
            return any(
                bool(
                    (delta.text("content") or delta.text("refusal") or "").strip() or delta.get("tool_calls")
                )
                for choice in event.objects("choices")
                if (delta := choice.inner("delta") or choice.inner("message")) is not None
            )


def _has_output(event: JsonObject) -> bool:
    """Whether the event holds a whole answer of OpenAI's that has text or a tool call."""
    response = event.inner("response")
    for item in response.objects("output") if response else ():
        if item.text("type") == "message":
            if any(
                (part.text("text") or part.text("refusal") or "").strip() for part in item.objects("content")
            ):
                return True
        elif item.text("type") != "reasoning":
            return True
    return False


def _stop_reason(wire: Wire, event: JsonObject) -> str | None:
    """Why the answer stopped, in the provider's word; None: the event does not say."""
    match wire:
        case "anthropic-messages":
            delta = event.inner("delta")
            return delta.text("stop_reason") if delta else None
        case "openai-responses":
            if event.text("type") not in _LAST_RESPONSES_EVENTS:
                return None
            response = event.inner("response") or JsonObject({})
            details = response.inner("incomplete_details")
            return (details.text("reason") if details else None) or response.text("status")
        case "openai-completions":
            return next(
                (text for choice in event.objects("choices") if (text := choice.text("finish_reason"))), None
            )


def _native_reason(event: JsonObject) -> str | None:
    """The reason of the model's host, which OpenRouter passes on."""
    reasons = (choice.text("native_finish_reason") for choice in event.objects("choices"))
    return next((reason for reason in reasons if reason), None)


def _error(wire: Wire, message: str) -> bytes:
    """An error event in the protocol's form. Pi repeats a request whose error says that an answer "ended without"."""
    error = {"type": "api_error", "message": message}
    match wire:
        case "anthropic-messages":
            return b"event: error\n" + _line(JsonObject({"type": "error", "error": error})) + b"\n"
        case "openai-responses":
            fields: dict[str, object] = {
                "type": "error",
                "code": "empty_answer",
                "message": message,
                "param": None,
            }
            return b"event: error\n" + _line(JsonObject(fields | {"error": error})) + b"\n"
        case "openai-completions":
            return _line(JsonObject({"error": error})) + b"\n"


def _line(event: JsonObject) -> bytes:
    return b"data: " + json.dumps(event.fields).encode() + b"\n"
