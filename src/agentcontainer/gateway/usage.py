"""Token usage, and errors, read out of a provider's answer while it streams through."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from agentcontainer.gateway.upstreams import Wire

_MAX_EVENT_BYTES = 8 * 1024**2


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer. `input_tokens` is all input: the cached part, read or written, is within it, and what is
    written for an hour within what is written. `unreported_tokens` come on top: what the answer may have used at most
    and nobody told. The cost is 0 where nobody knows the model's price."""

    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    long_cache_write_tokens: int = 0
    unreported_tokens: int = 0
    cost_micro_usd: int = 0


class Meter:
    """Reads one answer chunk by chunk; `usage` and `error` are what was seen so far."""

    def __init__(self, wire: Wire, model: str, *, is_stream: bool) -> None:
        self._wire: Wire = wire
        self._model = model
        self._is_stream = is_stream
        self._buffer = bytearray()
        self._is_skipping = False
        self._counts: dict[str, int] = {}
        self.error: str | None = None
        self.is_complete = False
        """The usage is that of the whole answer: what a provider tells at its end, or with a whole one."""

    @property
    def usage(self) -> Usage | None:
        """None: nothing was said about usage."""
        return _total(self._wire, self._model, self._counts) if self._counts else None

    def feed(self, chunk: bytes) -> None:
        if not self._is_stream:
            if len(self._buffer) + len(chunk) <= _MAX_EVENT_BYTES:
                self._buffer += chunk
            else:
                self._is_skipping = True
            return
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._end_line(line)
        self._extend(rest)

    def end(self) -> None:
        """The answer has ended, or was cut."""
        if not self._is_skipping:
            self._read(
                bytes(self._buffer) if not self._is_stream else bytes(self._buffer).removeprefix(b"data:")
            )
        self._buffer.clear()

    def _extend(self, part: bytes) -> None:
        if len(self._buffer) + len(part) > _MAX_EVENT_BYTES:
            self._is_skipping = True
            self._buffer.clear()
        if not self._is_skipping:
            self._buffer += part

    def _end_line(self, part: bytes) -> None:
        self._extend(part)
        if self._buffer.startswith(b"data:") and not self._is_skipping:
            self._read(bytes(self._buffer[5:]))
        self._buffer.clear()
        self._is_skipping = False

    def _read(self, data: bytes) -> None:
        if b'"usage"' not in data and b'"error"' not in data:
            return  # nearly every event: a delta of text
        try:
            event: Any = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(event, dict):
            self._take(cast(dict[str, Any], event))

    def _take(self, event: dict[str, Any]) -> None:
        nested = event.get("message" if self._wire == "anthropic-messages" else "response")
        for holder in (event, nested):
            if isinstance(holder, dict):
                holder = cast(dict[str, Any], holder)
                counts = _counts(holder.get("usage"))
                self._counts |= counts
                # Anthropic tells the input at the beginning, and the output with it, but only so far.
                is_last = self._wire != "anthropic-messages" or event.get("type") in (
                    "message_delta",
                    "message",
                )
                self.is_complete |= bool(counts) and is_last
                if holder.get("error") is not None or holder.get("type") == "error":
                    self.error = message_of(holder) or "The provider reported an error without a message."


MAX_TOKENS = 10**9  # of one answer: what a provider reports beyond it is nonsense


def _counts(usage: object) -> dict[str, int]:
    """The numbers of a usage object, those of its *_details included under their own names."""
    found: dict[str, int] = {}
    if not isinstance(usage, Mapping):
        return found
    for name, value in cast(Mapping[str, object], usage).items():
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            found[name] = min(value, MAX_TOKENS)
        elif name in ("input_tokens_details", "prompt_tokens_details", "cache_creation"):
            found |= _counts(value)
    return found


def _total(wire: Wire, model: str, counts: Mapping[str, int]) -> Usage:
    if wire == "anthropic-messages":
        read = counts.get("cache_read_input_tokens", 0)
        written = counts.get("cache_creation_input_tokens", 0)
        long = min(counts.get("ephemeral_1h_input_tokens", 0), written)
        fresh = counts.get("input_tokens", 0)  # Anthropic's excludes the cached part
        return Usage(model, fresh + read + written, counts.get("output_tokens", 0), read, written, long)
    names = ("input_tokens", "output_tokens")
    if wire == "openai-completions":
        names = ("prompt_tokens", "completion_tokens")
    read, written = counts.get("cached_tokens", 0), counts.get("cache_write_tokens", 0)
    return Usage(model, counts.get(names[0], 0), counts.get(names[1], 0), read, written)


def message_of(body: Mapping[str, Any]) -> str | None:
    """The provider's own message in an error body, in any of the providers' shapes."""
    error: Any = body.get("error")
    if isinstance(error, str):
        return error
    holder = cast(Mapping[str, Any], error) if isinstance(error, Mapping) else body
    message: Any = holder.get("message")
    metadata: Any = holder.get("metadata")
    if isinstance(metadata, Mapping):  # OpenRouter wraps what the model's host said
        raw: Any = cast(Mapping[str, Any], metadata).get("raw")
        if isinstance(raw, str) and isinstance(message, str) and raw not in message:
            return f"{message}: {raw}"
    return message if isinstance(message, str) else None
