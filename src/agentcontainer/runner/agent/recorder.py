"""Turns Pi's events into events of the task's log, and collects the agent's reply."""

import json
import re
import time
from dataclasses import dataclass, field

from agentcontainer.domain.tasks import event_data
from agentcontainer.domain.tasks.counting import TOOLS
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
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.telemetry.tracing import MAX_CONTENT_CHARACTERS, Stopwatch, ToolCall

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
OTHER = "other"
MAX_ID_CHARACTERS = 200
MAX_REPLY_CHARACTERS = 4 * 1024**2  # held in memory until the turn ends


class _Texts:
    """Texts of the agent, up to `MAX_REPLY_CHARACTERS` in all."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._characters_left = MAX_REPLY_CHARACTERS

    @property
    def joined(self) -> str:
        return "\n\n".join(self.texts)

    def add(self, text: str) -> None:
        """Add as much of the text as there is room for."""
        text = text[: self._characters_left]
        if text:
            self.texts.append(text)
            self._characters_left -= len(text)

    def extend(self, other: "_Texts") -> None:
        for text in other.texts:
            self.add(text)


@dataclass
class _RunningCall:
    tool: str
    arguments: object
    interval: Stopwatch = field(default_factory=Stopwatch)


class Recorder:
    """Records the events of one Pi process."""

    def __init__(self, log: EventLog, trace: AttemptTrace | None = None) -> None:
        self.provider_error: str | None = None
        """The error of the last assistant message; None if that message was complete."""
        self.running_command: str | None = None
        """The shell command that the agent started last, until it ends."""
        self._log = log
        self._trace = trace or AttemptTrace()
        self._texts_before_last_call = _Texts()
        self._texts = _Texts()
        self._running_calls: dict[str, _RunningCall] = {}
        """The tool calls that run, by their ids."""
        self._compaction_started_at: float | None = None

    @property
    def reply(self) -> str:
        """The agent's text after its last tool call since `begin_reply`, or all of it if there is none after it."""
        return (self._texts if self._texts.texts else self._texts_before_last_call).joined

    @property
    def longest_call_seconds(self) -> float:
        """For how long the oldest tool call that still runs has run; 0 if none runs."""
        return max((call.interval.seconds for call in self._running_calls.values()), default=0.0)

    def begin_reply(self) -> None:
        """Begin a new, empty reply, because a turn begins."""
        self._texts_before_last_call, self._texts = _Texts(), _Texts()

    def record(self, event: PiEvent) -> None:
        """Add one event of Pi to the log, and the agent's text to the reply."""
        match event:
            case TextDelta():
                self._log.add_delta(event.text)
            case MessageCompleted(role="assistant"):
                self._message(event)
            case ToolStarted():
                self._texts_before_last_call.extend(self._texts)
                self._texts = _Texts()
                self._running_calls[event.call_id] = _RunningCall(event.tool, event.input)
                command = (event.input or {}).get("command")
                self.running_command = command if isinstance(command, str) else None
                self._log.add(event_data.ToolStarted(
                    new_id("act"), event.call_id, event.tool, event.input, event.input_omitted_reason
                ))  # fmt: skip
            case ToolCompleted():
                self._log_completed(event)
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

    def complete_calls(self, output: str) -> None:
        """Log that every tool call that still runs succeeded, with this output."""
        for call_id, call in list(self._running_calls.items()):
            self._log_completed(ToolCompleted(call_id, call.tool, is_error=False, output=output))

    def close(self) -> None:
        """Report to the trace the tool calls that never ended, because their container is stopped."""
        for call_id, call in self._running_calls.items():
            self._report(call_id, call, "interrupted", None)
        self._running_calls.clear()

    def _log_completed(self, event: ToolCompleted) -> None:
        self.running_command = None
        call = self._running_calls.pop(event.call_id, None) or _RunningCall(event.tool, None)
        call.interval.stop()
        duration_ms = round(call.interval.seconds * 1000)
        self._log.add(
            event_data.ToolCompleted(event.call_id, event.tool, event.is_error, event.output, duration_ms)
        )
        self._report(event.call_id, call, "tool_error" if event.is_error else None, event.output)

    def _report(self, call_id: str, call: _RunningCall, error_type: str | None, output: str | None) -> None:
        arguments = result = None
        if self._trace.captures_content:
            arguments, result = self._content(json.dumps(call.arguments)), output and self._content(output)
        is_plain = _PLAIN_NAME.fullmatch(call.tool) is not None
        self._trace.tool_call(ToolCall(
            call.interval, call_id[:MAX_ID_CHARACTERS], call.tool if is_plain else OTHER,
            call.tool if call.tool in TOOLS else OTHER, error_type, arguments, result,
        ))  # fmt: skip

    def _content(self, text: str) -> str:
        return self._log.redact(text)[:MAX_CONTENT_CHARACTERS]

    def _message(self, message: MessageCompleted) -> None:
        if message.stop_reason == "error":  # Pi repeats the request, and the text of this message comes again
            self.provider_error = message.error_message
            return
        self.provider_error = None
        if message.text:
            self._log.add(event_data.MessageCompleted(message.text))
            self._texts.add(message.text)
