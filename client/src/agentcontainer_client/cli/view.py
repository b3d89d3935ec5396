"""Shows a task while it runs: drawn in place on a terminal, as plain lines elsewhere."""

import contextlib
import textwrap
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size
from rich.live import Live
from rich.text import Text

from agentcontainer_client import events
from agentcontainer_client._events import Event
from agentcontainer_client.cli import event_lines
from agentcontainer_client.cli.meter import Meter
from agentcontainer_client.cli.state import State
from agentcontainer_client.cli.text import harmless, one_line, seconds_text

DRAFT_LINES = 8
REFRESH_PER_SECOND = 8


class View:
    """What is shown of a task. `show` takes each event once.

    `task_id`: also shows what the task has used so far. `is_turn`: of a turn, whose reply is shown by the caller.
    """

    def __init__(
        self,
        state: State,
        title: str,
        started_at: datetime | None = None,
        *,
        task_id: str | None = None,
        is_turn: bool = False,
    ) -> None:
        self._state = state
        self._title = title
        self._started_at = started_at or datetime.now(UTC)
        self._began = time.monotonic()
        self._status = "running" if is_turn else "pending"
        self._tool = ""
        self._draft = ""
        self._is_turn = is_turn
        self._remark: Event | None = None
        """The last message of a turn: its reply, unless a tool call follows."""
        self._meter = None if task_id is None or not state.is_live else Meter(state.client, task_id)
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Generator["View"]:
        """Draw during the block, if this is a terminal that can. What has scrolled away stays as plain text."""
        if not self._state.is_live:
            yield self
            return
        live = Live(
            get_renderable=self._region, console=self._state.err, refresh_per_second=REFRESH_PER_SECOND,
            transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        with self._meter or contextlib.nullcontext(), live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None

    def show(self, event: Event) -> None:
        """Show an event."""
        self._follow(event)
        if not self._is_turn:
            self._print(event)
        elif isinstance(event, events.MessageCompleted):
            self._remark = event
        elif event.type not in event_lines.OF_TURNS:
            if self._remark is not None and isinstance(event, events.ToolStarted):
                self._print(self._remark)
                self._remark = None
            self._print(event)

    def note(self, text: str) -> None:
        """Show a line of progress that is no event."""
        self._state.say(text, "dim")

    def progress(self, sent: int, total: int) -> None:
        """Show how much has been uploaded."""
        share = 100 if total == 0 else sent * 100 // total
        self._tool = f"{share} %"

    def _print(self, event: Event) -> None:
        width = self._width()
        shown = event_lines.line(event, self._started_at, min(width, event_lines.MAX_LINE))
        if shown is None:
            return
        text, style = shown
        if self._state.err.is_terminal and cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        self._state.say(text, style)

    def _follow(self, event: Event) -> None:
        match event:
            case events.MessageDelta(content=content):
                self._draft = (self._draft + content)[-4000:]
            case events.MessageCompleted():
                self._draft = ""
            case events.ToolStarted(tool=tool):
                self._tool = one_line(tool, 40)
                self._draft = ""
            case events.ToolCompleted():
                self._tool = ""
            case _ if event.type.startswith("task."):
                self._status = str(event.data.get("status") or self._status)
            case _:
                pass

    def _region(self) -> Text:
        width = self._width()
        elapsed = seconds_text(time.monotonic() - self._began)
        parts = [self._status, elapsed, self._meter.text if self._meter else "", self._tool]
        facts = "  ".join(part for part in parts if part)
        head = f"{one_line(self._title, max(12, width - len(facts) - 2))}  {facts}"
        text = Text(head, no_wrap=True, overflow="crop")
        text.stylize("bold")
        lines = [
            line for part in harmless(self._draft).splitlines() for line in textwrap.wrap(part, width) or [""]
        ]
        for line in lines[-DRAFT_LINES:]:
            text.append(f"\n{line}", style="dim")
        return text

    def _width(self) -> int:
        return max(20, self._state.err.width - 1) if self._state.err.is_terminal else event_lines.MAX_LINE
