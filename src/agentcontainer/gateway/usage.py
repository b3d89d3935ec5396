"""Reads token usage and errors out of a provider's response while it is passed on."""

from collections.abc import Mapping
from dataclasses import dataclass

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.overload import is_overload_error
from agentcontainer.gateway.upstreams import Wire

MAX_TOKENS = 10**9  # of one response; a provider that reports more is wrong, and the value is capped
_MAX_EVENT_BYTES = 8 * 1024**2
_DETAILS = (
    "input_tokens_details", "prompt_tokens_details", "cache_creation", "output_tokens_details",
    "completion_tokens_details",
)  # fmt: skip
MAX_NAME_CHARACTERS = 200  # of an id or a model that a response names
_NO_MESSAGE = "The provider reported an error without a message."


@dataclass(frozen=True)
class Usage:
    """Tokens and cost of one response.

    `input_tokens` includes the tokens read from and written to the cache; `cache_write_tokens` includes those that are
    cached for an hour (`long_cache_write_tokens`). `unreported_tokens` are additional: the most that the response can
    have used beyond what the provider reported. The cost is 0 for a model whose price is unknown.
    """

    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    long_cache_write_tokens: int = 0
    unreported_tokens: int = 0
    cost_micro_usd: int = 0
    reasoning_tokens: int = 0
    """A part of `output_tokens`."""


class Meter:
    """Reads one response chunk by chunk; `usage` and `error` are what it has contained so far."""

    def __init__(self, wire: Wire, model: str, *, is_stream: bool) -> None:
        self._wire: Wire = wire
        self._model = model
        self._is_stream = is_stream
        self._buffer = bytearray()
        self._is_skipping = False
        self._counts: dict[str, int] = {}
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.error: str | None = None
        self.is_overload = False
        """Whether `error` may be gone when the request is repeated."""
        self.is_complete = False
        """Whether the usage is that of the whole response."""
        self.is_at_end = False
        """Whether the event after which a client reads no further has been read."""

    @property
    def usage(self) -> Usage | None:
        """None: the response has not reported usage."""
        return _usage_of(self._wire, self._model, self._counts) if self._counts else None

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk."""
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
        """Read what is left, once the response has ended or was cut."""
        if not self._is_skipping:
            data = bytes(self._buffer)
            self._read(data.removeprefix(b"data:") if self._is_stream else data)
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
            self.is_at_end |= bytes(self._buffer[5:]).strip() == b"[DONE]"
            self._read(bytes(self._buffer[5:]))
        self._buffer.clear()
        self._is_skipping = False

    def _read(self, data: bytes) -> None:
        if b'"usage"' not in data and b'"error"' not in data:
            return  # most events are text deltas: not parsing them saves most of the time
        event = JsonObject.parse(data)
        if event is not None:
            self._take(event)

    def _take(self, event: JsonObject) -> None:
        nested = event.inner("message" if self._wire == "anthropic-messages" else "response")
        # Anthropic's first event already reports the input, and an output that is not final.
        is_last = self._wire != "anthropic-messages" or event.get("type") in ("message_delta", "message")
        for holder in (event, nested):
            if holder is None:
                continue
            self.response_id = (holder.text("id") or "")[:MAX_NAME_CHARACTERS] or self.response_id
            self.response_model = (holder.text("model") or "")[:MAX_NAME_CHARACTERS] or self.response_model
            counts = _counts(holder.inner("usage"))
            self._counts |= counts
            self.is_complete |= bool(counts) and is_last
            if holder.get("error") is not None or holder.get("type") == "error":
                self.error = error_message_in(holder) or _NO_MESSAGE
                self.is_overload = is_overload_error(holder)


def _counts(usage: JsonObject | None) -> dict[str, int]:
    """The counts in a usage object by their names, those of its nested details included."""
    counts: dict[str, int] = {}
    for name, value in usage.fields.items() if usage else ():
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            counts[name] = min(value, MAX_TOKENS)
        elif name in _DETAILS:
            counts |= _counts(JsonObject.of(value))
    return counts


def _usage_of(wire: Wire, model: str, counts: Mapping[str, int]) -> Usage:
    if wire == "anthropic-messages":
        read = counts.get("cache_read_input_tokens", 0)
        written = counts.get("cache_creation_input_tokens", 0)
        long = min(counts.get("ephemeral_1h_input_tokens", 0), written)
        uncached = counts.get("input_tokens", 0)  # Anthropic's input_tokens excludes the cached part
        return Usage(model, uncached + read + written, counts.get("output_tokens", 0), read, written, long)
    input_name, output_name = ("input_tokens", "output_tokens")
    if wire == "openai-completions":
        input_name, output_name = ("prompt_tokens", "completion_tokens")
    read, written = counts.get("cached_tokens", 0), counts.get("cache_write_tokens", 0)
    return Usage(
        model, counts.get(input_name, 0), counts.get(output_name, 0), read, written,
        reasoning_tokens=counts.get("reasoning_tokens", 0),
    )  # fmt: skip


def error_message_in(body: JsonObject) -> str | None:
    """The provider's message in an error body, in any of the providers' formats."""
    if (text := body.text("error")) is not None:
        return text
    holder = body.inner("error") or body
    message = holder.text("message")
    metadata = holder.inner("metadata")
    original = metadata.text("raw") if metadata else None  # OpenRouter wraps the message of the model's host
    if message is not None and original is not None and original not in message:
        return f"{message}: {original}"
    return message
