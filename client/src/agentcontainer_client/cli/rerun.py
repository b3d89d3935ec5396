"""`rerun`: a task once more."""

from typing import Annotated, Any

import typer

from agentcontainer_client import Task, models
from agentcontainer_client.cli import text
from agentcontainer_client.cli.dispatching import Follow, run_to_end
from agentcontainer_client.cli.run import Fields, Folder, IsDetached, IsJson, IsQuiet, Timeout
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("rerun")(rerun)


def rerun(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(metavar="ID", help="A task, its unique beginning, or @last.")],
    folder: Folder = None,
    is_detached: IsDetached = False,
    timeout: Timeout = None,
    is_json: IsJson = False,
    fields: Fields = None,
    is_quiet: IsQuiet = False,
) -> None:
    """Dispatch a task again: its instructions, files, repositories, skills, overrides and metadata.

    It takes the agent's version of then. Tokens of repositories and a provider key of the task's own are not sent: the
    API does not tell them.
    """
    state = state_of(ctx)
    state.is_quiet = is_quiet
    before = state.task(task)
    if before.mode == "conversation":
        raise ConfigurationError(
            f"{before.id} is a conversation. Go on with it: agentcontainer chat {before.id}"
        )
    waited = None if timeout is None else text.duration(timeout).total_seconds()
    follow = Follow(folder=folder, timeout=waited, is_json=is_json, fields=fields, is_detached=is_detached)
    files = _inputs(state, before)
    run_to_end(state, before.instructions or "", before.agent_id, files, _options(state, before), follow)


def _inputs(state: State, before: Task) -> list[str]:
    if before.input_file_ids is None:  # pyright: ignore[reportUnnecessaryComparison]
        state.say(
            "warning: the server is older and does not name the task's input files: none is sent", "yellow"
        )
        return []
    return before.input_file_ids


def _options(state: State, before: Task) -> dict[str, Any]:
    version = state.client.agents.get(before.agent_id).version(before.agent_version_id)
    return {
        "version": before.agent_version_id,
        "repositories": [_repository(repository) for repository in before.input_repositories or ()] or None,
        "skills": before.skills[len(version.skills) :] or None,
        "title": before.title,
        "metadata": before.metadata or None,
        "overrides": before.overrides or None,
    }


def _repository(repository: models.TaskRepository) -> dict[str, str]:
    fields = {"url": repository.url, "ref": repository.ref, "path": repository.path}
    return {name: value for name, value in fields.items() if value is not None}
