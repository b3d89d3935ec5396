"""`agents`: named configurations, their versions, and files that describe them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from agentcontainer_client import Agent, Difference
from agentcontainer_client.cli import text
from agentcontainer_client.cli.run import Fields, IsJson
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="Id or name of an agent.")]
EDITED = ("name", "description", "basePrompt", "image", "defaults", "referenceFileIds", "skills")

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
    found = _agent(state, agent)
    if is_json:
        state.json(found.to_wire(), fields)
        return
    state.line(json.dumps(description(found), indent=2, ensure_ascii=False))
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
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Edit an agent in $EDITOR. The differences are shown before they are sent."""
    state = state_of(ctx)
    found = _agent(state, agent)
    before = description(found)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "agent.json")
        path.write_text(json.dumps(before, indent=2, ensure_ascii=False) + "\n", "utf-8")
        editor = (
            os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
        )
        subprocess.run([*editor.split(), str(path)], check=True)
        after = read_description(path)
    _apply(state, found, before, after, is_sure=is_sure)


@agents.command("apply")
def apply(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="FILE", help="JSON, as `agents export` writes it.")],
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the agent of this name what the file says; make it if there is none. Repeatable, for git."""
    state = state_of(ctx)
    wanted = read_description(Path(path))
    name = str(wanted.get("name") or "")
    matching = [agent for agent in state.client.agents.list() if agent.name == name and not agent.is_standard]
    if not matching:
        made = state.client.agents.create(name)
        state.say(f"made {made.id}")
        _apply(state, made, description(made), wanted, is_sure=True)
        return
    _apply(state, matching[0], description(matching[0]), wanted, is_sure=is_sure)


@agents.command("export")
def export(ctx: typer.Context, agent: AgentId) -> None:
    """Print an agent as `agents apply` reads it."""
    state = state_of(ctx)
    sys.stdout.write(json.dumps(description(_agent(state, agent)), indent=2, ensure_ascii=False) + "\n")


@agents.command("diff")
def diff(
    ctx: typer.Context,
    agent: AgentId,
    before: Annotated[int, typer.Argument(metavar="V1")],
    after: Annotated[int | None, typer.Argument(metavar="[V2]")] = None,
) -> None:
    """Show what differs between two versions; without V2, from the current one."""
    state = state_of(ctx)
    _print(state, _agent(state, agent).diff(before, after))


@agents.command("activate")
def activate(
    ctx: typer.Context, agent: AgentId, version: Annotated[int, typer.Argument(metavar="VERSION")]
) -> None:
    """Make a version current."""
    state = state_of(ctx)
    changed = _agent(state, agent).activate(version)
    state.say(f"{changed.id} has version {changed.current_version.number}")


@agents.command("archive")
def archive(ctx: typer.Context, agent: AgentId) -> None:
    """Let an agent take no further tasks."""
    state = state_of(ctx)
    state.say(f"{_agent(state, agent).archive().id} is archived")


@agents.command("unarchive")
def unarchive(ctx: typer.Context, agent: AgentId) -> None:
    """Let an agent take tasks again."""
    state = state_of(ctx)
    state.say(f"{_agent(state, agent).unarchive().id} takes tasks")


def description(agent: Agent) -> dict[str, Any]:
    """What of an agent can be edited."""
    version = agent.current_version
    return {
        "name": agent.name,
        "description": agent.description,
        "basePrompt": version.base_prompt,
        "image": version.runtime.container_image,
        "defaults": version.defaults.to_wire(),
        "referenceFileIds": version.reference_file_ids,
        "skills": version.skills,
    }


def read_description(path: Path) -> dict[str, Any]:
    """The description in a file.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is not a JSON object.")
    if unknown := [name for name in content if name not in EDITED]:  # pyright: ignore[reportUnknownVariableType]
        raise ConfigurationError(f"{path} has the unknown field {text.one_line(str(unknown[0]), 80)}.")  # pyright: ignore[reportUnknownArgumentType]
    return content  # pyright: ignore[reportUnknownVariableType]


def _apply(
    state: State, agent: Agent, before: dict[str, Any], after: dict[str, Any], *, is_sure: bool
) -> None:
    changes = {name: value for name, value in after.items() if value != before.get(name)}
    if not changes:
        state.say("nothing to change")
        return
    _print(state, [Difference(name, before.get(name), value) for name, value in changes.items()])
    state.confirm("Send these changes?", is_sure=is_sure)
    changed = agent.update(
        name=changes.get("name"),
        description=changes.get("description"),
        base_prompt=changes.get("basePrompt"),
        image=changes.get("image"),
        defaults=changes.get("defaults"),
        reference_files=changes.get("referenceFileIds"),
        skills=changes.get("skills"),
    )
    state.say(f"{changed.id} has version {changed.current_version.number}")


def _print(state: State, changes: list[Difference]) -> None:
    for change in changes:
        state.line(f"{change.path}:")
        state.line(f"  - {text.one_line(json.dumps(change.before, ensure_ascii=False))}")
        state.line(f"  + {text.one_line(json.dumps(change.after, ensure_ascii=False))}")


def _agent(state: State, name: str) -> Agent:
    if name.startswith("agt_"):
        return state.client.agents.get(name)
    matching = [agent for agent in state.client.agents.list() if agent.name == name]
    if len(matching) != 1:
        count = "no agent" if not matching else f"{len(matching)} agents"
        raise ConfigurationError(f"There is {count} of the name {text.one_line(name, 80)}.")
    return matching[0]
