"""The commands of `agentcontainer admin` for maintenance of the queue and its runners."""

from typing import Annotated

import typer

from agentcontainer.cli.admin import run
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import NotFound

RunnerName = Annotated[
    str,
    typer.Argument(metavar="RUNNER", help="Name or id of the runner, as `agentcontainer status` shows it."),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of `agentcontainer admin`."""
    app.command("drain")(drain)
    app.command("undrain")(undrain)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("requeue")(requeue)


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


def _set_draining(runner: str, data_dir: str | None, *, is_draining: bool) -> None:
    from agentcontainer.domain.tasks import runners

    if not run(lambda pool: runners.set_draining(pool, runner, is_draining=is_draining), data_dir):
        raise NotFound(f"No runner {runner} is running; `agentcontainer status` lists the runners.")


def _set_paused(data_dir: str | None, *, is_paused: bool) -> None:
    from agentcontainer.domain.tasks import queue

    run(lambda pool: queue.set_paused(pool, is_paused=is_paused), data_dir)
