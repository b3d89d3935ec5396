"""The commands of `agentcontainer admin` for maintenance of the queue and its runners."""

from typing import Annotated

import typer

from agentcontainer.cli.admin import Json, print_answer, run
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import NotFound, ValidationError

RunnerName = Annotated[
    str,
    typer.Argument(metavar="RUNNER", help="Name or id of the runner, as `agentcontainer status` shows it."),
]
Limit = Annotated[str | None, typer.Option(metavar="N|none", help="`none`: no limit. Default: unchanged.")]
MAX_LIMIT = 2**31 - 1


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of `agentcontainer admin`."""
    app.command("set-limits")(set_limits)
    app.command("drain")(drain)
    app.command("undrain")(undrain)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("requeue")(requeue)


def set_limits(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")],
    running_tasks: Limit = None,
    queued_tasks: Limit = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Limit how many tasks of an account run at the same time, and how many may be pending."""
    running, queued = _limit("--running-tasks", running_tasks), _limit("--queued-tasks", queued_tasks)
    from agentcontainer.domain.tasks import queue

    limits = run(lambda pool: queue.change_limits(pool, account_id, running, queued), data_dir)
    if limits is None:
        raise NotFound(f"Account {account_id} does not exist.")
    answer = {"accountId": account_id, "runningTasks": limits[0], "queuedTasks": limits[1]}
    told = ["no limit" if limit is None else str(limit) for limit in limits]
    print_answer(answer, f"Account {account_id}: running tasks {told[0]}, queued tasks {told[1]}.", as_json)


def drain(runner: RunnerName, data_dir: DataDir = None) -> None:
    """Let a runner take no task, and give back those that it runs. It goes on with `undrain`."""
    _set_draining(runner, data_dir, is_draining=True)
    typer.echo(f"Runner {runner} gives back its tasks and takes no others.")


def undrain(runner: RunnerName, data_dir: DataDir = None) -> None:
    """Let a drained runner take tasks again."""
    _set_draining(runner, data_dir, is_draining=False)
    typer.echo(f"Runner {runner} takes tasks again.")


def pause(data_dir: DataDir = None) -> None:
    """Let no runner begin a task. Tasks that run go on, and new ones wait."""
    _set_paused(data_dir, is_paused=True)
    typer.echo("No runner begins a task until `agentcontainer admin resume`.")


def resume(data_dir: DataDir = None) -> None:
    """Let runners begin tasks again."""
    _set_paused(data_dir, is_paused=False)
    typer.echo("Runners begin tasks again.")


def requeue(task_id: Annotated[str, typer.Argument(metavar="TASK")], data_dir: DataDir = None) -> None:
    """Take a running task from its runner, or end the delay of a pending one, so that a runner begins it now."""
    from agentcontainer.domain.tasks import service

    settings = load(data_dir=data_dir)
    run(lambda pool: service.requeue_by_operator(pool, settings, task_id), data_dir)
    typer.echo(f"Task {task_id} waits for a runner.")


def _limit(option: str, value: str | None) -> int | str | None:
    if value is None or value == "none":
        return value
    if not value.isascii() or not value.isdecimal() or int(value) > MAX_LIMIT:
        raise ValidationError(f"{option} must be a whole number from 0 to {MAX_LIMIT}, or none.")
    return int(value)


def _set_draining(runner: str, data_dir: str | None, *, is_draining: bool) -> None:
    from agentcontainer.domain.tasks import runners

    if not run(lambda pool: runners.set_draining(pool, runner, is_draining=is_draining), data_dir):
        raise NotFound(f"No runner {runner} is running; `agentcontainer status` lists the runners.")


def _set_paused(data_dir: str | None, *, is_paused: bool) -> None:
    from agentcontainer.domain.tasks import queue

    run(lambda pool: queue.set_paused(pool, is_paused=is_paused), data_dir)
