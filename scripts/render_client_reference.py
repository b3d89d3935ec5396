"""Write docs/reference/python.md from the docstrings of the client, and the commands of users (`make docs`)."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup

import agentcontainer_client as package
from agentcontainer_client import errors
from agentcontainer_client._sync.client import AgentContainer
from agentcontainer_client._sync.following import EventStream, Stream
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client.cli.app import app

DOCS = Path(__file__).parents[1] / "docs/reference"
START, END = "<!-- generated from the docstrings of the client -->", "<!-- end -->"
COMMANDS_START, COMMANDS_END = (
    "<!-- generated from the commands of the client -->",
    "<!-- end of commands -->",
)
OBJECTS = [package.Task, package.OutputFile, package.Conversation, package.Agent, package.Batch, package.File]
STREAMS = [Stream, EventStream, Pager]


def files() -> dict[Path, str]:
    """The pages with their generated parts."""
    return {
        DOCS / "python.md": _between(DOCS / "python.md", START, END, reference()),
        DOCS / "commands.md": _between(DOCS / "commands.md", COMMANDS_START, COMMANDS_END, commands()),
    }


def reference() -> str:
    """Tables of the methods of the client, of its objects and of its exceptions."""
    client = AgentContainer("http://localhost", "none")
    parts = ["### The client", "", *_rows("client", AgentContainer, own=True)]
    for name in sorted(vars(client)):
        if not name.startswith("_"):
            kind = type(getattr(client, name))
            parts += ["", f"### client.{name}", "", _first(kind), "", *_rows(f"client.{name}", kind)]
    client.close()
    for kind in [*OBJECTS, *STREAMS]:
        parts += ["", f"### {kind.__name__}", "", _first(kind), "", *_rows(kind.__name__.lower(), kind)]
    parts += ["", "### Arguments of create and run", "", "| argument | type | |", "| --- | --- | --- |"]
    parts += _arguments()
    parts += ["", "### Exceptions", "", "| exception | raised when |", "| --- | --- |"]
    for name, kind in vars(errors).items():
        if (
            inspect.isclass(kind)
            and issubclass(kind, errors.AgentContainerError)
            and not name.startswith("_")
        ):
            parts.append(f"| `{name}` | {_cell(_summary(kind))} |")
    return "\n".join(parts)


def commands() -> str:
    """A table of the commands for users."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return "\n".join(["| for users | does |", "| --- | --- |", *_command_rows(group, "agentcontainer")])


def _command_rows(group: TyperGroup, prefix: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            options = " ".join(_option(parameter) for parameter in command.params)
            yield f"| `{prefix} {name} {options}".rstrip() + f"` | {_cell(command.help or '')} |"
            yield from _command_rows(command, f"{prefix} {name}")
        else:
            words = [
                _option(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)
            ]
            summary = (command.help or "").split("\n\n")[0]
            yield f"| `{' '.join([prefix, name, *words])}".rstrip() + f"` | {_cell(summary)} |"


def _option(parameter: Any) -> str:
    if getattr(parameter, "hidden", False):
        return ""
    metavar = parameter.metavar or parameter.name.upper()
    if not parameter.opts[0].startswith("-"):
        return metavar
    name = max(parameter.opts, key=len)
    return f"[{name}]" if getattr(parameter, "is_flag", False) else f"[{name} {metavar}]"


def _rows(prefix: str, kind: type, *, own: bool = False) -> list[str]:
    rows = ["| method | does |", "| --- | --- |"]
    for name, value in vars(kind).items() if own else inspect.getmembers(kind):
        function = value.fget if isinstance(value, property) else value
        if name.startswith("_") or not (inspect.isfunction(function) or inspect.ismethod(function)):
            continue
        if not function.__module__.startswith("agentcontainer_client._sync"):
            continue
        shown = name if isinstance(value, property) else f"{name}({_signature(function)})"
        rows.append(f"| `{prefix}.{shown}` | {_cell(_summary(function))} |")
    return rows


def _signature(function: Any) -> str:
    names: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values()):
        if parameter.name in {"self", "transport"}:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            names.append("**options")
        elif parameter.default is inspect.Parameter.empty:
            names.append(parameter.name)
        else:
            names.append(f"{parameter.name}=…")
    return ", ".join(names)


def _arguments() -> Iterator[str]:
    options = package._sync.tasks.NewTaskOptions  # type: ignore[attr-defined]
    module = inspect.getsource(inspect.getmodule(options) or options)
    for name in get_type_hints(options):
        match = re.search(rf'^    {name}: (.+)\n(?:    """(.+?)"""\n)?', module, re.MULTILINE)
        assert match, name
        hint = match[1].removesuffix(" | None").replace("|", "\\|")
        yield f"| `{name}` | `{hint}` | {_cell(match[2] or '')} |"


def _first(kind: type) -> str:
    return _summary(kind)


def _summary(thing: Any) -> str:
    docstring = inspect.getdoc(thing) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _between(page: Path, start: str, end: str, content: str) -> str:
    before, _, rest = page.read_text().partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
