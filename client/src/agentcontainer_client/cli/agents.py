"""`agents`: named configurations, their versions, and files that describe them."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from agentcontainer_client import Agent, Difference
from agentcontainer_client.cli import agent_files, text
from agentcontainer_client.cli.run import Fields, IsJson, IsSure
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="Id or name of an agent.")]
ARGUMENTS: dict[str, tuple[str, Any]] = {
    "description": ("description", ""),
    "basePrompt": ("base_prompt", ""),
    "image": ("image", ""),
    "defaults": ("defaults", {}),
    "referenceFileIds": ("reference_files", []),
    "skills": ("skills", []),
}
"""The argument of the client for a field of a file, and its value if the field is null."""

agents = typer.Typer(help="Agents and their versions.", no_args_is_help=False, invoke_without_command=True)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(agents, name="agents")


@agents.callback()
def list_agents(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List agents."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.agents.list().to_list()
    if is_json:
        state.json([agent.to_wire() for agent in found], fields)
        return
    rows = [
        [
            agent.id,
            agent.name,
            str(agent.current_version.number),
            agent.current_version.defaults.model,
            "archived" if agent.archived_at else "",
        ]
        for agent in found
    ]
    state.table(rows, ["ID", "NAME", "VERSION", "MODEL", ""])


@agents.command("show")
def show(ctx: typer.Context, agent: AgentId, is_json: IsJson = False, fields: Fields = None) -> None:
    """Show an agent and its versions."""
    state = state_of(ctx)
    found = state.agent(agent)
    if is_json:
        state.json(found.to_wire(), fields)
        return
    state.line(agent_files.to_yaml(agent_files.description(found)).rstrip())
    numbers = ", ".join(str(version.number) for version in found.versions(order="asc"))
    state.line(f"versions: {numbers}; current: {found.current_version.number}")


@agents.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    prompt: Annotated[str | None, typer.Option(help="Added to the agent's system prompt.")] = None,
    model: Annotated[str | None, typer.Option(help="Default model of its tasks.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider of the model.")] = None,
    image: Annotated[str | None, typer.Option(help="Container image.")] = None,
) -> None:
    """Make an agent and print its id."""
    state = state_of(ctx)
    defaults: Any = {key: value for key, value in (("provider", provider), ("model", model)) if value}
    made = state.client.agents.create(name, base_prompt=prompt, image=image, defaults=defaults or None)
    state.line(made.id)


@agents.command("edit")
def edit(
    ctx: typer.Context,
    agent: AgentId,
    is_sure: IsSure = False,
) -> None:
    """Edit an agent in $EDITOR. The differences are shown before they are sent."""
    state = state_of(ctx)
    found = state.agent(agent)
    before = agent_files.description(found)
    written = agent_files.to_yaml(before).encode()
    folder = Path(tempfile.mkdtemp(prefix="agentcontainer-"))
    path = folder / "agent.yaml"
    is_kept = False
    try:
        path.write_bytes(written)
        _open_editor(path)
        is_kept = path.read_bytes() != written
        _apply(state, found, before, agent_files.read(path), is_sure=is_sure)
        is_kept = False
    finally:
        if is_kept:  # it was refused, or the user thought better of it
            state.say(f"your text is in {path}", "yellow")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _open_editor(path: Path) -> None:
    """Let the user edit a file.

    Raises:
        ConfigurationError: the editor failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    try:
        code = subprocess.run(
            [*shlex.split(editor, posix=os.name != "nt"), str(path)], check=False
        ).returncode
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The editor {editor} cannot be started: {error}") from None
    if code:
        raise ConfigurationError(f"{editor} failed: nothing was sent.")


@agents.command("apply")
def apply(
    ctx: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="YAML or JSON (`.json`), as `agents export` writes it.")
    ],
    is_sure: IsSure = False,
) -> None:
    """Make the agent of this name what the file says; make it if there is none. Repeatable, for git."""
    state = state_of(ctx)
    wanted = agent_files.read(Path(path))
    name = wanted.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"{path} has no `name`.")
    matching = [agent for agent in state.client.agents.list() if agent.name == name and not agent.is_standard]
    if len(matching) > 1:
        raise ConfigurationError(f"There are {len(matching)} agents of the name {text.one_line(name, 80)}.")
    if matching:
        _apply(state, matching[0], agent_files.description(matching[0]), wanted, is_sure=is_sure)
    else:
        made = state.client.agents.create(name, **_arguments(wanted))
        state.say(f"made {made.id}")


@agents.command("export")
def export(
    ctx: typer.Context,
    agent: AgentId,
    is_json: Annotated[bool, typer.Option("--json", help="As JSON instead of YAML.")] = False,
) -> None:
    """Print an agent as `agents apply` reads it."""
    state = state_of(ctx)
    described = agent_files.description(state.agent(agent))
    state.json(described) if is_json else state.result(agent_files.to_yaml(described))


@agents.command("diff")
def diff(
    ctx: typer.Context,
    agent: AgentId,
    before: Annotated[int, typer.Argument(metavar="V1")],
    after: Annotated[int | None, typer.Argument(metavar="[V2]")] = None,
) -> None:
    """Show what differs between two versions; without V2, from the current one."""
    state = state_of(ctx)
    _print(state, state.agent(agent).diff(before, after))


@agents.command("activate")
def activate(
    ctx: typer.Context, agent: AgentId, version: Annotated[int, typer.Argument(metavar="VERSION")]
) -> None:
    """Make a version current."""
    state = state_of(ctx)
    changed = state.agent(agent).activate(version)
    state.say(f"{changed.id} has version {changed.current_version.number}")


@agents.command("archive")
def archive(ctx: typer.Context, agent: AgentId) -> None:
    """Let an agent take no further tasks."""
    state = state_of(ctx)
    state.say(f"{state.agent(agent).archive().id} is archived")


@agents.command("unarchive")
def unarchive(ctx: typer.Context, agent: AgentId) -> None:
    """Let an agent take tasks again."""
    state = state_of(ctx)
    state.say(f"{state.agent(agent).unarchive().id} takes tasks")


def _apply(
    state: State, agent: Agent, before: dict[str, Any], after: dict[str, Any], *, is_sure: bool
) -> None:
    changes = {name: value for name, value in after.items() if value != before.get(name)}
    if not changes:
        state.say("nothing to change")
        return
    _print(state, [Difference(name, before.get(name), value) for name, value in changes.items()])
    state.confirm("Send these changes?", is_sure=is_sure)
    name = changes.get("name")
    changed = agent.update(name=name, if_current_version_id=agent.current_version.id, **_arguments(changes))
    state.say(f"{changed.id} has version {changed.current_version.number}")


def _arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the client for these fields of a file, without the name. A field that is null is emptied."""
    return {
        argument: empty if fields[name] is None else fields[name]
        for name, (argument, empty) in ARGUMENTS.items()
        if name in fields
    }


def _print(state: State, changes: list[Difference]) -> None:
    for change in changes:
        state.line(f"{change.path}:")
        state.line(f"  - {text.one_line(json.dumps(change.before, ensure_ascii=False))}")
        state.line(f"  + {text.one_line(json.dumps(change.after, ensure_ascii=False))}")
