"""Formats events as lines, for terminals and pipes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from agentcontainer_client import events
from agentcontainer_client._events import Event
from agentcontainer_client.cli.text import one_line

MAX_LINE = 100
PATHS = ("command", "path", "file_path", "pattern")  # the arguments that describe a call of one of Pi's tools
TOOLS = frozenset({"tool.started", "tool.completed"})
OF_TURNS = frozenset({"turn.started", "turn.completed", "turn.failed", "file.shared"})
"""Events that say what the caller of a turn shows in its own way."""
FAULTS = frozenset(
    {"task.failed", "turn.failed", "finish.rejected", "model.retried", "egress.refused", "task.requeued"}
)


def line(event: Event, started_at: datetime, limit: int = MAX_LINE) -> tuple[str, str] | None:
    """The event as a line of plain text, and its style. None: it is not shown."""
    shown = _text(event, limit)
    if shown is None:
        return None
    text, style = shown
    seconds = max(0.0, (event.created_at - started_at).total_seconds())
    return f"{seconds:7.1f} s  {text}", style


def is_fault(event: Event) -> bool:
    """Whether the event says that something went wrong."""
    return event.type in FAULTS or (event.type == "tool.completed" and bool(event.data.get("isError")))


def _text(event: Event, limit: int) -> tuple[str, str] | None:
    match event:
        case (
            events.MessageDelta()
            | events.TaskCheckpointed()
            | events.MessageDelivered()
            | events.TaskClaimed()
        ):
            return None
        case events.TaskCreated():
            return "task created", ""
        case events.TaskStarted():
            return f"container started (attempt {event.attempt})", ""
        case events.MessageCompleted():
            return f"agent: {one_line(event.content, limit)}", "cyan"
        case events.MessageCreated():
            return None if event.role == "assistant" else (f"user: {one_line(event.content, limit)}", "bold")
        case events.ToolStarted():
            return f"{one_line(event.tool, 30)} {one_line(_about(event.input), limit)}".rstrip(), "yellow"
        case events.ToolCompleted():
            return (f"{one_line(event.tool, 30)} failed", "red") if event.is_error else None
        case events.FinishRejected():
            return f"finish refused: {one_line(event.message, limit)}", "red"
        case events.TaskFinished():
            return f"finished ({event.completion or 'ended'})", "green"
        case events.TaskFailed():
            return f"failed: {one_line(str(event.error), limit)}", "red"
        case events.TurnFailed():
            return f"turn failed: {one_line(event.error, limit)}", "red"
        case events.TaskHibernated():
            return f"hibernates: {one_line(event.message or '', limit)}".rstrip(": "), "magenta"
        case events.BudgetWarning():
            return f"{event.percent} % of the budget is used (${event.used_usd:.2f})", "yellow"
        case events.BudgetReached():
            waits = ": waits until `agentcontainer update` raises it" if event.on_reached == "pause" else ""
            return f"the budget is used up (${event.used_usd:.2f}){waits}", "yellow"
        case events.EgressRefused():
            return f"refused to reach {one_line(event.rule, limit)}", "red"
        case events.FileShared():
            return f"shared {one_line(event.filename, limit)}", "green"
        case events.TaskRequeued():
            return (
                f"goes on in another container: {one_line(event.reason or 'its runner was lost', limit)}",
                "magenta",
            )
        case events.ModelRetried():
            return f"asks the model again: {one_line(event.error, limit)}", "red"
        case _:
            return _other(event, limit)


def _other(event: Event, limit: int) -> tuple[str, str]:
    """The type of an event in words, and an unknown type as it is."""
    if isinstance(event, events.Unknown):
        return one_line(event.type, limit), "dim"
    number = event.data.get("turnNumber")
    of_turn = f" {number}" if event.type.startswith("turn.") and isinstance(number, int) else ""
    noun, _, verb = event.type.partition(".")
    return one_line(f"{noun}{of_turn} {verb.replace('_', ' ')}".rstrip(), limit), "dim"


def _about(arguments: object) -> str:
    if not isinstance(arguments, Mapping):
        return ""
    values = {str(name): str(value) for name, value in cast("Mapping[Any, Any]", arguments).items()}
    return next((values[name] for name in PATHS if name in values), "")
