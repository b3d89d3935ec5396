"""`list`, `show`, `logs`, `wait`, `cancel`, `message`, `wake`: tasks that were dispatched before."""

import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import Annotated

import typer

from agentcontainer_client import Task
from agentcontainer_client._events import Event
from agentcontainer_client.cli import event_lines, exits, suggestions, text
from agentcontainer_client.cli.browsing import show_page
from agentcontainer_client.cli.following import Follower, finish
from agentcontainer_client.cli.run import Count, Fields, IsJson, IsQuiet, Timeout
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError
from agentcontainer_client.inputs import Budget

TaskId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A task, its unique beginning, or @last.", autocompletion=suggestions.tasks
    ),
]
TaskIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID…", help="Tasks, unique beginnings, or @last.", autocompletion=suggestions.tasks
    ),
]
WATCH_SECONDS = 2.0


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("list")(list_tasks)
    app.command("show")(show)
    app.command("logs")(logs)
    app.command("wait")(wait)
    app.command("cancel")(cancel)
    app.command("update")(update)
    app.command("message")(message)
    app.command("wake")(wake)


def list_tasks(
    ctx: typer.Context,
    status: Annotated[list[str], typer.Option(help="Only tasks with this status.")] = [],  # noqa: B006
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only tasks of this agent.")] = None,
    metadata: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="Only tasks with this.")] = [],  # noqa: B006
    search: Annotated[str | None, typer.Option(help="Words of the title, or the beginning of an id.")] = None,
    count: Count = 20,
    is_watching: Annotated[bool, typer.Option("--watch", help="Print the list again every 2 s.")] = False,
    is_json: IsJson = False,
    fields: Fields = None,
) -> None:
    """List tasks, the newest first."""
    state = state_of(ctx)
    agent_id = None if agent is None else state.agent_id(agent)
    while True:
        tasks = state.client.tasks.list(
            status=status or None, agent=agent_id, metadata=text.pairs(metadata), q=search, limit=count,
            fields="summary",
        ).to_list()  # fmt: skip
        if is_json:
            state.json([task.to_wire() for task in tasks], fields)
        else:
            if is_watching and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            _print_tasks(state, tasks)
        if not is_watching:
            return
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)


def _print_tasks(state: State, tasks: list[Task]) -> None:
    now = datetime.now(UTC)
    rows = [
        [
            task.id,
            task.status,
            text.age_text(task.created_at, now),
            f"${task.cost_usd:.2f}",
            text.one_line(task.title or "", 60),
        ]
        for task in tasks
    ]
    state.table(rows, ["ID", "STATUS", "CREATED", "COST", "TITLE"])


def show(
    ctx: typer.Context,
    task: TaskId,
    is_web: Annotated[
        bool, typer.Option("--web", help="Its page in the dashboard, as `open` opens it.")
    ] = False,
    is_json: IsJson = False,
    fields: Fields = None,
) -> None:
    """Show a task: its status, result and files."""
    state = state_of(ctx)
    if is_web:
        show_page(state, f"/tasks/{state.task_id(task)}")
        return
    found = state.task(task)
    if is_json:
        state.json(found.to_wire(), fields)
        return
    files = found.files().to_list()
    rows = [
        ("id", found.id),
        ("title", found.title),
        ("status", found.status + (f" ({found.completion})" if found.completion else "")),
        ("waits for", found.queue.message if found.queue else None),
        ("agent", f"{found.agent_name} ({found.agent_id})"),
        ("model", f"{found.execution.provider} {found.execution.model}"),
        ("created", f"{found.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("cost", f"${found.cost_usd:.4f}, {found.container_minutes:.1f} minutes"),
        ("tokens", f"{found.token_usage.input_tokens} in, {found.token_usage.output_tokens} out"),
        ("error", f"{found.error} ({found.error_code})" if found.error else None),
        ("page", found.url),
    ]
    rows += [
        ("file", f"{file.filename}  {text.bytes_text(file.size_bytes)}{' (partial)' * file.partial}")
        for file in files
    ]
    for name, value in rows:
        if value:
            state.line(f"{name:<10} {text.one_line(value)}")
    if found.result:
        state.line("")
        state.line(found.result)


def logs(
    ctx: typer.Context,
    task: TaskId,
    is_following: Annotated[bool, typer.Option("--follow", "-f", help="Follow it to its end.")] = False,
    since: Annotated[int, typer.Option(metavar="SEQUENCE", min=0, help="Only events after this one.")] = 0,
    tail: Annotated[int | None, typer.Option(metavar="COUNT", min=1, help="Only the last ones.")] = None,
    only_tools: Annotated[bool, typer.Option("--tools", help="Only tool calls.")] = False,
    only_errors: Annotated[bool, typer.Option("--errors", help="Only what went wrong.")] = False,
    is_raw: Annotated[bool, typer.Option("--raw", help="Each event as a line of JSON.")] = False,
) -> None:
    """Print what happened to a task."""
    state = state_of(ctx)
    found = state.task(task)

    def is_shown(event: Event) -> bool:
        if only_tools and event.type not in event_lines.TOOLS:
            return False
        return not only_errors or event_lines.is_fault(event)

    last = since
    wanted: deque[Event] = deque(maxlen=tail)
    for event in found.events(after=since or None):
        last = event.sequence
        if is_shown(event):
            wanted.append(event) if tail else _print_event(state, found, event, is_raw)
    for event in wanted:
        _print_event(state, found, event, is_raw)
    sys.stdout.flush()
    if is_following:
        follower = Follower(state, found, after=last, has_events=is_raw, is_shown=is_shown)
        raise typer.Exit(exits.of_task(found if found.has_ended else follower.run()))


def _print_event(state: State, task: Task, event: Event, is_raw: bool) -> None:
    if is_raw:
        state.json(event.to_wire(), is_compact=True)
    elif (shown := event_lines.line(event, task.created_at)) is not None:
        state.line(shown[0])


def wait(
    ctx: typer.Context,
    tasks: TaskIds,
    timeout: Timeout = None,
    is_json: IsJson = False,
    fields: Fields = None,
    is_quiet: IsQuiet = False,
) -> None:
    """Wait until tasks have ended. One task: print its result, with its exit code. Several: print each as it ends."""
    state = state_of(ctx)
    state.is_quiet = is_quiet
    seconds = None if timeout is None else text.duration(timeout).total_seconds()
    ids = [state.task_id(task) for task in tasks]
    if len(ids) == 1:
        ended = Follower(state, state.client.tasks.get(ids[0]), timeout=seconds).run()
        finish(state, ended, folder=None, is_json=is_json, fields=fields)
    code = exits.OK
    for ended in state.client.tasks.as_completed(ids, timeout=seconds):
        code = max(code, exits.of_task(ended))
        state.json(ended.to_wire(), fields) if is_json else state.table([[ended.id, ended.status]], ["", ""])
        sys.stdout.flush()
    raise typer.Exit(code)


def cancel(ctx: typer.Context, tasks: TaskIds) -> None:
    """Cancel tasks."""
    state = state_of(ctx)
    for task in tasks:
        cancelled = state.task(task).cancel()
        state.say(f"{cancelled.id} is {cancelled.status}")


def update(
    ctx: typer.Context,
    task: TaskId,
    title: Annotated[str | None, typer.Option(help="Another title.")] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget", metavar="USD", help="What model requests may cost in all.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(metavar="COUNT", help="The tokens that they may use in all.")
    ] = None,
) -> None:
    """Change a task's title or budget. A task whose budget is used up goes on if it waits for a larger one."""
    state = state_of(ctx)
    budget: Budget = {}
    if budget_usd is not None:
        budget["maxCostUsd"] = budget_usd
    if budget_tokens is not None:
        budget["maxTokens"] = budget_tokens
    if title is None and not budget:
        raise ConfigurationError("Give --title, --budget or --budget-tokens.")
    changed = state.client.tasks.update(state.task(task).id, title=title, budget=budget or None)
    state.say(f"{changed.id} is {changed.status}")


def message(
    ctx: typer.Context,
    task: TaskId,
    content: Annotated[str, typer.Argument(metavar="TEXT")],
    files: Annotated[list[str], typer.Option("--file", "-f", help="A file to send with it.")] = [],  # noqa: B006
) -> None:
    """Send the agent of a running task a message, or a conversation its next one."""
    state = state_of(ctx)
    found = state.task(task)
    if found.mode == "conversation":
        sent = state.client.conversations.get(found.id).send(content, files=list(files)).message
    else:
        if files:
            raise ConfigurationError("Files can be sent to conversations only.")
        sent = found.message(content)
    if sent is not None:
        state.say(f"sent as {sent.id}")


def wake(
    ctx: typer.Context, task: TaskId, content: Annotated[str | None, typer.Argument(metavar="[TEXT]")] = None
) -> None:
    """Wake a hibernating task, with a message for its agent."""
    state = state_of(ctx)
    woken = state.task(task).wake(content)
    state.say(f"{woken.id} is {woken.status}")
