"""Turns Pi's events into events of the task's log, and collects the agent's reply."""

import time

from agentcontainer.domain.tasks import event_data
from agentcontainer.ids import new_id
from agentcontainer.runner.agent.pi_events import (
    CompactionEnded,
    CompactionStarted,
    MessageCompleted,
    PiEvent,
    TextDelta,
    ToolCompleted,
    ToolStarted,
)
from agentcontainer.runner.log import EventLog

MAX_REPLY_CHARACTERS = 4 * 1024**2  # held in memory until the turn ends


class Recorder:
    """Records the events of one Pi process."""

    def __init__(self, log: EventLog) -> None:
        self.provider_error: str | None = None
        """The error of the last assistant message; None if that message was complete."""
        self._log = log
        self._texts: list[str] = []
        self._characters_left = MAX_REPLY_CHARACTERS
        self._tool_started_at: dict[str, float] = {}
        self._compaction_started_at: float | None = None

    @property
    def reply(self) -> str:
        """All that the agent said since `begin_reply`."""
        return "\n\n".join(self._texts)

    def begin_reply(self) -> None:
        """Begin a new, empty reply, because a turn begins."""
        self._texts, self._characters_left = [], MAX_REPLY_CHARACTERS

    def record(self, event: PiEvent) -> None:
        """Add one event of Pi to the log, and the agent's text to the reply."""
        match event:
            case TextDelta():
                self._log.add_delta(event.text)
            case MessageCompleted(role="assistant"):
                self._message(event)
            case ToolStarted():
                self._tool_started_at[event.call_id] = time.monotonic()
                self._log.add(event_data.ToolStarted(
                    new_id("act"), event.call_id, event.tool, event.input, event.input_omitted_reason
                ))  # fmt: skip
            case ToolCompleted():
                now = time.monotonic()
                duration = now - self._tool_started_at.pop(event.call_id, now)
                self._log.add(event_data.ToolCompleted(
                    event.call_id, event.tool, event.is_error, event.output, duration_ms=round(duration * 1000)
                ))  # fmt: skip
            case CompactionStarted():
                self._compaction_started_at = time.monotonic()
                self._log.add(event_data.ContextCompacting())
            case CompactionEnded():
                now = time.monotonic()
                duration = now - (self._compaction_started_at or now)
                self._log.add(event_data.ContextCompacted(
                    event.tokens_before, duration_ms=round(duration * 1000)
                ))  # fmt: skip
            case _:
                pass

    def _message(self, message: MessageCompleted) -> None:
        if message.stop_reason == "error":  # Pi repeats the request, and the text of this message comes again
            self.provider_error = message.error_message
            return
        self.provider_error = None
        if message.text:
            self._log.add(event_data.MessageCompleted(message.text))
            text = message.text[: self._characters_left]
            if text:
                self._texts.append(text)
                self._characters_left -= len(text)
