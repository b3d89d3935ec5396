"""Shows a task while it runs: drawn in place on a terminal, as plain lines elsewhere."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.live import Live
from rich.text import Text

from agentcontainer_client import events
from agentcontainer_client._events import Event
from agentcontainer_client.cli import event_lines
from agentcontainer_client.cli.state import State
from agentcontainer_client.cli.text import harmless, one_line, seconds_text

DRAFT_LINES = 8
REFRESH_PER_SECOND = 8


class View:
    """What is shown of a task. `show` takes each event once."""

    def __init__(self, state: State, title: str, started_at: datetime | None = None) -> None:
        self._state = state
        self._title = title
        self._started_at = started_at or datetime.now(UTC)
        self._began = time.monotonic()
        self._status = "pending"
        self._tool = ""
        self._draft = ""
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
        with live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None

    def show(self, event: Event) -> None:
        """Show an event."""
        self._follow(event)
        shown = event_lines.line(event, self._started_at, self._width())
        if shown is not None:
            self._state.say(*shown)

    def note(self, text: str) -> None:
        """Show a line of progress that is no event."""
        self._state.say(text, "dim")

    def progress(self, sent: int, total: int) -> None:
        """Show how much has been uploaded."""
        share = 100 if total == 0 else sent * 100 // total
        self._tool = f"uploading {share} %"

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
        head = one_line(f"{self._title}  {self._status}  {elapsed}  {self._tool}", width)
        text = Text(head, no_wrap=True, overflow="crop")
        text.stylize("bold")
        for line in harmless(self._draft).splitlines()[-DRAFT_LINES:]:
            text.append("\n" + one_line(line, width), style="dim")
        return text

    def _width(self) -> int:
        return max(20, self._state.err.width - 2) if self._state.err.is_terminal else event_lines.MAX_LINE
