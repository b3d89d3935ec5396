"""`run`: the whole job in one command."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agentcontainer_client import _config
from agentcontainer_client._sources import AnyFile
from agentcontainer_client.cli import suggestions, text
from agentcontainer_client.cli.dispatching import Follow, run_to_end
from agentcontainer_client.cli.following import CANCEL_ON_EXIT
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError

Agent = Annotated[
    str | None,
    typer.Option(
        "--agent", "-a", metavar="AGENT", help="Id or name of the agent.", autocompletion=suggestions.agents
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", metavar="MODEL", help="Model of the agent.")]
Provider = Annotated[str | None, typer.Option(metavar="NAME", help="Provider of the model.")]
Folder = Annotated[
    str | None, typer.Option("--output-dir", "-o", metavar="DIR", help="Save the outputs here.")
]
Budget = Annotated[float | None, typer.Option(metavar="USD", help="What model requests may cost.")]
BudgetTokens = Annotated[int | None, typer.Option(metavar="COUNT", help="The tokens that they may use.")]
IsPausing = Annotated[
    bool,
    typer.Option(
        "--pause-at-budget",
        help="When the budget is used up, wait until `update --budget` raises it, instead of failing.",
    ),
]
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
Count = Annotated[int, typer.Option("-n", min=1, help="How many.")]
IsSure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IsQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run")(run)


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
    budget_tokens: BudgetTokens = None,
    is_pausing: IsPausing = False,
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
        "model": model,
        "provider": provider,
        "budget_usd": budget,
        "budget_tokens": budget_tokens,
        "on_budget_reached": "pause" if is_pausing else None,
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
    sources: list[AnyFile] = [*map(Path, files)]
    if (piped := piped_text(prompt_is_piped="-" in (words or [])[:1])) is not None:
        sources.append(("stdin.txt", piped))
    waited = None if timeout is None else text.duration(timeout).total_seconds()
    follow = Follow(folder, waited, is_cancelling, is_json, fields, has_events, is_detached)
    run_to_end(state, prompt, chosen_agent(state, agent), sources, options, follow)


def preview(
    state: State, prompt: str, agent: str, options: dict[str, Any], fields: str | None, *, is_json: bool
) -> None:
    """Print what a dispatch would do. Files are not uploaded.

    Raises:
        Exit: it would be refused; with code 1.
    """
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


def chosen_agent(state: State, agent: str | None) -> str:
    """The id of the agent that is named, else of the profile's, else of the standard one."""
    if agent:
        return state.agent_id(agent)
    return state.client.default_agent or _config.STANDARD_AGENT


def read_prompt(words: list[str], prompt_file: str | None) -> tuple[str, list[str]]:
    """The prompt, and the names of the files.

    Raises:
        ConfigurationError: there is no prompt.
    """
    if prompt_file is not None:
        return _text(Path(prompt_file).read_bytes(), prompt_file), words
    if not words:
        raise ConfigurationError('Give a prompt: agentcontainer run "…". `-` reads it from stdin.')
    prompt = _text(sys.stdin.buffer.read(), "stdin") if words[0] == "-" else words[0]
    if not prompt.strip():
        raise ConfigurationError("The prompt is empty.")
    return prompt, words[1:]


def _text(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{source} is not UTF-8 text.") from None


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
