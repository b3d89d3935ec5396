"""Holds back the beginning of a streamed answer until it has content, so that a request that fails
before that is repeated without the agent noticing."""

from collections.abc import AsyncIterator

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.overload import is_overload_error
from agentcontainer.gateway.upstreams import Wire
from agentcontainer.gateway.usage import error_message_in

MAX_HELD_BYTES = 64 * 1024
_NO_MESSAGE = "The provider reported an error without a message."
_BEFORE_CONTENT = frozenset(
    {"message_start", "ping", "response.created", "response.in_progress", "response.queued", "keepalive"}
)


class Opening:
    """The beginning of one answer. `overload`: the message of the error with which it begins; None: it may be passed
    on."""

    def __init__(self, wire: Wire) -> None:
        self.data = b""
        """What was read so far."""
        self.overload: str | None = None
        self._wire: Wire = wire
        self._line = b""

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read until there is content, an error, or the end."""
        async for chunk in chunks:
            self.data += chunk
            *lines, self._line = (self._line + chunk).split(b"\n")
            if any(self._is_decided(line) for line in lines) or len(self.data) > MAX_HELD_BYTES:
                return

    def _is_decided(self, line: bytes) -> bool:
        if not line.startswith(b"data:"):
            return False  # the name of an event, a comment, or the blank line after an event
        event = JsonObject.parse(line[5:])
        if event is None:
            return True
        holder = event.inner("response") or event  # of OpenAI's `response.failed`
        has_error = event.text("type") == "error" or holder.get("error") is not None
        if has_error and self.overload is None and is_overload_error(holder):
            self.overload = error_message_in(holder) or _NO_MESSAGE
        return has_error or not self._is_before_content(event)

    def _is_before_content(self, event: JsonObject) -> bool:
        if self._wire != "openai-completions":
            return event.text("type") in _BEFORE_CONTENT
        return all(_is_blank(choice) for choice in event.objects("choices"))


def _is_blank(choice: JsonObject) -> bool:
    delta = choice.inner("delta") or JsonObject({})
    return choice.get("finish_reason") is None and not any(
        value for name, value in delta.fields.items() if name != "role"
    )
