"""Formats the demo's output: a line for each event, with the seconds since the task was created."""

from datetime import datetime
from typing import cast

from rich.markup import escape

from agentcontainer.cli.demo_client import Event
from agentcontainer.cli.error_lines import one_line

MAX_LINE = 100
PATHS = ("command", "path", "file_path", "pattern")  # the arguments that describe a call of one of Pi's tools


def line(event: Event, started_at: datetime) -> str | None:
    """The event as Rich markup; None: it is not shown."""
    text = _text(event)
    seconds = (event.created_at - started_at).total_seconds()
    return None if text is None else f"[dim]{seconds:6.1f} s[/]  {text}"


def _text(event: Event) -> str | None:
    data = event.data
    match event.type:
        case "task.created":
            return "task created"
        case "task.started":
            return f"container started (attempt {data.attempt})"
        case "message.completed":
            return f"[cyan]agent:[/] {_short(data.content)}"
        case "tool.started":
            return f"[yellow]{_short(data.tool)}[/] {_short(_about(data.input))}"
        case "tool.completed":
            return f"[red]{_short(data.tool)} failed[/]" if data.is_error else None
        case "finish.rejected":
            return f"[red]finish refused:[/] {_short(data.message)}"
        case "task.finished":
            return f"[green]finished[/] ({data.completion})"
        case "task.failed":
            return f"[red]failed:[/] {_short(str(data.error))}"
        case _:
            return _short(event.type)


def _about(arguments: object) -> str:
    if not isinstance(arguments, dict):
        return ""
    values = {str(name): str(value) for name, value in cast("dict[object, object]", arguments).items()}
    return next((values[name] for name in PATHS if name in values), "")


def _short(text: str) -> str:
    line = one_line(text[: MAX_LINE * 4])
    return escape(line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…")
