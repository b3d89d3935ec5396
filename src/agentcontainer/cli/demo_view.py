"""What the demo shows: a line for each event, and how long the task has been at it."""

from datetime import datetime
from typing import Any, cast

from rich.markup import escape

from agentcontainer.cli.error_lines import one_line

MAX_LINE = 100
PATHS = ("command", "path", "file_path", "pattern")  # what a tool call is about, by the names of Pi's tools


def line(event: dict[str, Any], started_at: str) -> str | None:
    """The event as Rich markup; None: nothing to show."""
    text = _text(event["type"], event["data"])
    return None if text is None else f"[dim]{_seconds(started_at, event['createdAt']):6.1f} s[/]  {text}"


def _text(type_: str, data: dict[str, Any]) -> str | None:
    match type_:
        case "task.created":
            return "task created"
        case "task.started":
            return f"container started (attempt {data.get('attempt', 1)})"
        case "message.completed":
            return f"[cyan]agent:[/] {_short(data['content'])}"
        case "tool.started":
            return f"[yellow]{_short(data['tool'])}[/] {_short(_about(data['input']))}"
        case "tool.completed":
            return f"[red]{_short(data['tool'])} failed[/]" if data["isError"] else None
        case "finish.rejected":
            return f"[red]finish refused:[/] {_short(str(data.get('message', '')))}"
        case "task.finished":
            return f"[green]finished[/] ({data.get('completion')})"
        case "task.failed":
            return f"[red]failed:[/] {_short(str(data.get('error')))}"
        case _:
            return _short(type_)


def _about(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return ""
    named = cast("dict[str, Any]", arguments)
    return next((str(named[name]) for name in PATHS if name in named), "")


def _short(text: str) -> str:
    line = one_line(text[: MAX_LINE * 4])
    return escape(line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…")


def _seconds(earlier: str, later: str) -> float:
    return (_moment(later) - _moment(earlier)).total_seconds()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
