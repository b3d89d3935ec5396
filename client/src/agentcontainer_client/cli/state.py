"""What a command has at hand: the client of the chosen profile, and where its output goes."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn, cast

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from agentcontainer_client import Agent, AgentContainer, NotFound, Task, __version__
from agentcontainer_client.cli import prompting
from agentcontainer_client.cli.text import harmless, one_line
from agentcontainer_client.errors import ConfigurationError


@dataclass
class State:
    """The options that all commands share, and what follows from them."""

    profile: str | None = None
    url: str | None = None
    is_debug: bool = False
    has_color: bool = True
    is_quiet: bool = False
    _warned: bool = field(default=False, repr=False)

    @cached_property
    def client(self) -> AgentContainer:
        """The client of the chosen profile."""
        if self.is_debug:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("debug: %(message)s"))
            logging.getLogger("agentcontainer_client").addHandler(handler)
            logging.getLogger("agentcontainer_client").setLevel(logging.DEBUG)
        return AgentContainer(self.url, profile=self.profile)

    @cached_property
    def err(self) -> Console:
        """Progress and messages. It draws only on a terminal that can."""
        is_plain = os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
        color = None if self.has_color and not os.environ.get("NO_COLOR") and not is_plain else False
        return Console(
            stderr=True, highlight=False, soft_wrap=True, force_terminal=False if is_plain else None,
            no_color=color is False, emoji=False, markup=False,
        )  # fmt: skip

    @property
    def is_live(self) -> bool:
        """Whether progress may be drawn in place."""
        return self.err.is_terminal and not self.is_quiet

    def say(self, text: str, style: str = "") -> None:
        """A line of progress, on stderr."""
        if not self.is_quiet:
            self.err.print(Text(harmless(text), style=style))

    def result(self, text: str) -> None:
        """A result, on stdout: on a terminal made harmless, in a pipe as it is."""
        if sys.stdout.isatty():
            text = harmless(text)
            text = text if text.endswith("\n") else f"{text}\n"
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """A line of a list, on stdout."""
        sys.stdout.write(f"{harmless(text) if sys.stdout.isatty() else text}\n")

    def json(self, value: object, fields: str | None = None, *, is_compact: bool = False) -> None:
        """JSON on stdout; `fields`: these of each object only; `is_compact`: on one line, also on a terminal."""
        if fields:
            names = [name.strip() for name in fields.split(",") if name.strip()]
            items = cast("list[object]", value) if isinstance(value, list) else [value]
            picked = [_picked(item, names) for item in items]
            value = picked if isinstance(value, list) else picked[0]
        self.line(
            json.dumps(
                value, ensure_ascii=False, indent=2 if sys.stdout.isatty() and not is_compact else None
            )
        )

    def raw(self, content: bytes) -> None:
        """Bytes on stdout: on a terminal as harmless text, in a pipe as they are."""
        if sys.stdout.isatty():
            self.result(content.decode("utf-8", "replace"))
            return
        sys.stdout.buffer.write(content)
        sys.stdout.flush()

    def table(self, rows: list[list[str]], titles: list[str]) -> None:
        """A table on stdout: aligned on a terminal, separated by tabs in a pipe."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            for row in cells:
                sys.stdout.write("\t".join(row) + "\n")
            return
        widths = [max(cell_len(row[column]) for row in [titles, *cells]) for column in range(len(titles))]
        room = Console().width
        for row in [titles, *cells]:
            text = "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(set_cell_size(text, room).rstrip() + "\n")

    def warn_of_older_server(self) -> None:
        """Say once if the server is older than this command."""
        if "client" not in vars(self) or self._warned:
            return
        server = self.client.server_version
        if server is not None and _numbers(server) < _numbers(__version__):
            self._warned = True
            self.say(f"warning: the server has version {server}, this command {__version__}", "yellow")

    def close(self) -> None:
        """Close the connections of the client, if there is one."""
        if "client" in vars(self):
            self.client.close()

    def task_id(self, text: str) -> str:
        """The id that is meant: an id, its unique beginning, or `@last`.

        Raises:
            ConfigurationError: no task, or several, are meant.
        """
        if text == "@last":
            newest = self.client.tasks.list(limit=1, fields="summary").first()
            if newest is None:
                raise ConfigurationError("There is no task yet.")
            return newest.id
        beginning = text if text.startswith("tsk_") else f"tsk_{text}"
        if not beginning.replace("_", "").isalnum():
            raise ConfigurationError(f"{one_line(text, 80)!r} is not the id of a task.")
        found = [
            task.id
            for task in self.client.tasks.list(q=beginning, limit=3, fields="summary")
            if task.id.startswith(beginning)
        ]
        if beginning in found:
            return beginning
        if len(found) > 1:
            raise ConfigurationError(
                f"{one_line(text, 80)} is the beginning of several ids. Give more of it."
            )
        if not found:
            raise NotFound(404, "not_found", f"There is no task {one_line(text, 80)}.")
        return found[0]

    def task(self, text: str) -> Task:
        """The task that is meant."""
        return self.client.tasks.get(self.task_id(text))

    def agent(self, text: str) -> Agent:
        """The agent that is meant: by its id, or by its name if no other has it.

        Raises:
            ConfigurationError: none, or several, have this name.
        """
        if text.startswith("agt_"):
            return self.client.agents.get(text)
        matching = [agent for agent in self.client.agents.list() if agent.name == text]
        if len(matching) != 1:
            count = "no agent" if not matching else f"{len(matching)} agents"
            raise ConfigurationError(f"There is {count} of the name {one_line(text, 80)}.")
        return matching[0]

    def agent_id(self, text: str) -> str:
        """The id of the agent that is meant. An id is not looked up."""
        return text if text.startswith("agt_") else self.agent(text).id

    def confirm(self, question: str, *, is_sure: bool) -> None:
        """Ask before something that cannot be undone. Without a terminal, only `--yes` does it.

        Raises:
            ConfigurationError: nobody can answer.
        """
        if is_sure:
            return
        if not sys.stdin.isatty():
            raise ConfigurationError("This cannot be undone: add --yes.")
        if not prompting.is_confirmed(question):
            raise typer.Exit(1)


def _picked(value: object, names: list[str]) -> object:
    if not isinstance(value, Mapping):
        return value
    found = cast("Mapping[str, object]", value)
    return {name: found.get(name) for name in names}


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def state_of(ctx: typer.Context) -> State:
    """The state of this command."""
    state = ctx.find_object(State)
    assert state is not None
    return state


def leave(code: int) -> NoReturn:
    """End the command with this code."""
    raise typer.Exit(code)
