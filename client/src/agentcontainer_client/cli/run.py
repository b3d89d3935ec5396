"""`run` and `rerun`: the whole job in one command."""

import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agentcontainer_client import Task, _config
from agentcontainer_client.cli import suggestions, text
from agentcontainer_client.cli.following import CANCEL_ON_EXIT, Follower, finish
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.cli.view import View
from agentcontainer_client.errors import ConfigurationError

Agent = Annotated[
    str | None,
    typer.Option(
        "--agent", "-a", metavar="AGENT", help="Id of the agent.", autocompletion=suggestions.agents
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", metavar="MODEL", help="Model of the agent.")]
Provider = Annotated[str | None, typer.Option(metavar="NAME", help="Provider of the model.")]
Folder = Annotated[
    str | None, typer.Option("--output-dir", "-o", metavar="DIR", help="Save the outputs here.")
]
Budget = Annotated[float | None, typer.Option(metavar="USD", help="What model requests may cost.")]
MaxRuntime = Annotated[
    str | None, typer.Option(metavar="15m", help="Container time after which the task fails.")
]
Internet = Annotated[
    str | None,
    typer.Option(metavar="[HOST,…]", help="The public internet; with `=HOST,…` these hosts of it only."),
]
Repositories = Annotated[list[str], typer.Option("--repo", metavar="URL", help="Clone this git repository.")]
Outputs = Annotated[
    list[str],
    typer.Option(
        "--output", metavar="NAME", help="An output that the agent must deliver, or `at_least_one`."
    ),
]
Metadata = Annotated[list[str], typer.Option("--metadata", metavar="KEY=VALUE", help="Stored with the task.")]
Title = Annotated[str | None, typer.Option(help="Title of the task.")]
IsDetached = Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return.")]
Timeout = Annotated[str | None, typer.Option(metavar="10m", help="How long to wait here; exit code 124.")]
IsCancelling = Annotated[
    bool, typer.Option("--cancel-on-exit", help=f"Cancel the task at SIGINT or SIGTERM ({CANCEL_ON_EXIT}=1).")
]
IsJson = Annotated[
    bool, typer.Option("--json", help="Print the task as JSON; --json=id,status picks fields.")
]
Fields = Annotated[str | None, typer.Option(hidden=True)]
HasEvents = Annotated[
    bool, typer.Option("--events", help="Print each event as a line of JSON, then the task.")
]
IsDryRun = Annotated[
    bool, typer.Option("--dry-run", help="Dispatch nothing; print the settings, the hold and what is wrong.")
]
IsQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run")(run)
    app.command("rerun")(rerun)


def run(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT [FILE…]", help="`-` reads the prompt from stdin.")
    ] = None,
    prompt_file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="PATH", help="Read the prompt from this file.")
    ] = None,
    agent: Agent = None,
    model: Model = None,
    provider: Provider = None,
    folder: Folder = None,
    budget: Budget = None,
    max_runtime: MaxRuntime = None,
    internet: Internet = None,
    repositories: Repositories = [],  # noqa: B006  (Typer copies it)
    outputs: Outputs = [],  # noqa: B006
    metadata: Metadata = [],  # noqa: B006
    title: Title = None,
    is_detached: IsDetached = False,
    timeout: Timeout = None,
    is_cancelling: IsCancelling = False,
    is_json: IsJson = False,
    fields: Fields = None,
    has_events: HasEvents = False,
    is_dry_run: IsDryRun = False,
    is_quiet: IsQuiet = False,
) -> None:
    """Upload files, dispatch a task, follow it, print the result.

    agentcontainer run "Which region sells best? Write report.md." sales.csv -o out/

    cat error.log | agentcontainer run "Explain this." > answer.md

    Text that is piped into it becomes the input file stdin.txt. Without -a, the profile's agent is used, else
    agt_standard_coding. The result goes to stdout, all else to stderr.
    """
    state = state_of(ctx)
    state.is_quiet = is_quiet or has_events
    prompt, files = read_prompt(list(words or ()), prompt_file)
    options: dict[str, Any] = {
        "files": [Path(file) for file in files],
        "model": model,
        "provider": provider,
        "budget_usd": budget,
        "max_runtime": None if max_runtime is None else text.duration(max_runtime),
        "internet": None if internet is None else [host for host in internet.split(",") if host] or True,
        "repositories": repositories or None,
        "outputs": output_policy(outputs),
        "metadata": text.pairs(metadata) or None,
        "title": title,
    }
    if is_dry_run:
        preview(
            state, prompt, chosen_agent(state, agent), options, fields if is_json else None, is_json=is_json
        )
        return
    if (piped := piped_text(prompt_is_piped="-" in (words or [])[:1])) is not None:
        options["files"] = [*options["files"], ("stdin.txt", piped)]
    waited = None if timeout is None else text.duration(timeout).total_seconds()
    follow = _Follow(folder, waited, is_cancelling, is_json, fields, has_events, is_detached)
    _dispatch(state, prompt, chosen_agent(state, agent), options, follow)


def preview(
    state: State, prompt: str, agent: str, options: dict[str, Any], fields: str | None, *, is_json: bool
) -> None:
    """Print what a dispatch would do. Files are not uploaded.

    Raises:
        Exit: it would be refused; with code 1.
    """
    options = {**options, "files": None}
    tried = state.client.tasks.preview(prompt, agent=agent, **options)
    if is_json:
        state.json(tried.to_wire(), fields)
    else:
        settings = tried.execution.to_wire() if tried.execution else {}
        rows = [[name, json.dumps(chosen["value"]), chosen["from"]] for name, chosen in settings.items()]
        for row in rows:
            state.line("\t".join(row))
        state.line(f"hold\t${tried.hold_usd:.2f}\tbalance after it: ${tried.balance_after_usd:.2f}")
    for problem in tried.problems:
        state.say(f"{problem.path or problem.code}: {problem.message}", "red")
    if tried.problems:
        raise typer.Exit(1)


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
    """Dispatch the instructions, overrides and metadata of a task again.

    Its input files are not known to the API any more, and are not sent.
    """
    state = state_of(ctx)
    state.is_quiet = is_quiet
    before = state.task(task)
    options: dict[str, Any] = {
        "version": before.agent_version_id,
        "title": before.title,
        "metadata": before.metadata or None,
        "overrides": before.overrides or None,
    }
    waited = None if timeout is None else text.duration(timeout).total_seconds()
    follow = _Follow(folder, waited, False, is_json, fields, False, is_detached)
    _dispatch(state, before.instructions or "", before.agent_id, options, follow)


@dataclass(frozen=True)
class _Follow:
    """What happens after the dispatch."""

    folder: str | None
    timeout: float | None
    is_cancelling: bool
    is_json: bool
    fields: str | None
    has_events: bool
    is_detached: bool


def _dispatch(state: State, prompt: str, agent: str, options: dict[str, Any], follow: _Follow) -> None:
    upload = View(state, "uploading")
    with upload.shown():
        task: Task = state.client.tasks.create(prompt, agent=agent, on_upload=upload.progress, **options)
    if follow.is_detached:
        state.json(task.to_wire(), follow.fields) if follow.is_json else state.line(task.id)
        return
    state.say(f"{task.id} dispatched to {task.agent_name}", "dim")
    ended = Follower(
        state, task, timeout=follow.timeout, is_cancelling=follow.is_cancelling, has_events=follow.has_events
    ).run()
    usage = ended.token_usage
    state.say(f"{usage.input_tokens} tokens in, {usage.output_tokens} out, ${ended.cost_usd:.4f}", "dim")
    is_json = follow.is_json or follow.has_events
    finish(state, ended, folder=follow.folder, is_json=is_json, fields=follow.fields)


def chosen_agent(state: State, agent: str | None) -> str:
    """The agent that is named, else the profile's, else the standard one."""
    return agent or state.client.default_agent or _config.STANDARD_AGENT


def read_prompt(words: list[str], prompt_file: str | None) -> tuple[str, list[str]]:
    """The prompt, and the names of the files.

    Raises:
        ConfigurationError: there is no prompt.
    """
    if prompt_file is not None:
        return Path(prompt_file).read_text("utf-8"), words
    if not words:
        raise ConfigurationError('Give a prompt: agentcontainer run "…". `-` reads it from stdin.')
    prompt = sys.stdin.read() if words[0] == "-" else words[0]
    if not prompt.strip():
        raise ConfigurationError("The prompt is empty.")
    return prompt, words[1:]


def piped_text(*, prompt_is_piped: bool) -> bytes | None:
    """What is piped or redirected into the command; None: nothing is."""
    if prompt_is_piped or sys.stdin is None or sys.stdin.closed:
        return None
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return None
    return sys.stdin.buffer.read() or None


def output_policy(outputs: list[str]) -> Any:
    """The output policy that the options name."""
    if not outputs:
        return None
    if outputs in (["any"], ["none"], ["at_least_one"]):
        return outputs[0]
    return outputs
