"""`agentcontainer up`: runs everything on one machine, in the foreground."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.error_lines import local_time
from agentcontainer.cli.log_lines import json_line, log_to_stderr
from agentcontainer.cli.options import DataDir, load
from agentcontainer.cli.quick_import import quick_import
from agentcontainer.cli.terminal import Terminal
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.cli.installation import Installation, Started


def up(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    is_offline: Annotated[
        bool,
        typer.Option(
            "--offline-model",
            help="Use an offline script, no AI, in place of every model, so that no key is needed.",
        ),
    ] = False,
    no_profile: Annotated[
        bool,
        typer.Option("--no-profile", help="Do not store the API key as a profile of the user who starts it."),
    ] = False,
    print_login_link: Annotated[
        bool,
        typer.Option(
            "--print-login-link",
            help="Print a link that logs a browser in, once, also where stdout is no terminal.",
        ),
    ] = False,
) -> None:
    """Run everything on this machine: PostgreSQL, the API and one runner. Ctrl-C stops it."""
    with quick_import():
        from agentcontainer.cli.installation import Installation

    offline_model = "all" if is_offline else None
    chosen = load(data_dir=data_dir, host=host, port=port, offline_model=offline_model)
    data_folder.prepare(chosen.data_dir)
    with data_folder.up_lock(chosen.data_dir):
        report, show_started = say, show
        if chosen.log_format == "json":
            log_to_stderr(chosen, "warning")
            report, show_started = say_as_json, show_as_json

        async def on_started(started: "Started") -> None:
            has_code = print_login_link or (show_started is show and sys.stdout.isatty())
            page = await _page(chosen, started, has_code=has_code)
            show_started(chosen, started, None if no_profile else await _profile(started), page)

        installation = Installation(chosen, os.environ, report)
        is_forced = asyncio.run(run_until_stopped(installation, on_started, report))
    if is_forced:
        raise typer.Exit(130)


async def _page(settings: Settings, started: "Started", *, has_code: bool) -> str | None:
    """The URL of the dashboard, with a login code if it may be printed; None: it is switched off.

    A service's log must hold no codes.
    """
    if not settings.dashboard:
        return None
    base = settings.public_url or started.base_url
    return f"{base}/login#{await started.new_login_code()}" if has_code else f"{base}/"


async def _profile(started: "Started") -> str | None:
    """Store an API key as a profile of the user; the profile's name."""
    from agentcontainer.cli import local_profile

    return await local_profile.write(started.base_url, started.api_key, started.new_key)


async def run_until_stopped(
    installation: "Installation",
    on_started: "Callable[[Started], Awaitable[None]]",
    report: Callable[[str], None],
) -> bool:
    """Run the installation until a signal, then stop it. Returns whether a second signal killed it."""
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(_run(installation, on_started))
    received = 0

    def on_signal() -> None:
        nonlocal received
        received += 1
        if received == 1:
            report("stopping; send the signal again to stop at once")
            running.cancel()
        else:
            installation.kill()

    for number in stop_signals():
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return received > 1


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop us. SIGHUP is not one of them if it is ignored, as `nohup` does."""
    is_hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if is_hangup_ignored else (signal.SIGHUP,)))


async def _run(installation: "Installation", on_started: "Callable[[Started], Awaitable[None]]") -> None:
    try:
        await on_started(await installation.start())
        await asyncio.Event().wait()
    finally:
        await installation.stop()


def show(settings: Settings, started: "Started", profile: str | None = None, page: str | None = None) -> None:
    """Print the URL, data folder and API key, as plain lines that can be copied."""
    console = Terminal()
    console.print("[bold green]AgentContainer is up[/]")
    console.print(f"  API       {started.base_url}/api/v1")
    if page is not None:
        console.print(f"  Dashboard {page}", markup=False)
        once = "works once, for 10 minutes; for another link: agentcontainer open"
        console.print(
            f"            {once if '#' in page else 'to log in: agentcontainer open'}", markup=False
        )
    console.print(f"  Data      {settings.data_dir}", markup=False)
    if started.api_key is not None:
        console.print(f"  API key   [bold]{started.api_key}[/]")
        console.print("            of the first account. It is not shown again: store it now.")
    if profile is not None:
        console.print(f'  Profile   {profile}, with an API key, for: agentcontainer run "…"', markup=False)
    if settings.offline_model == "all":
        console.print(
            "  Model     [bold yellow]offline script, no AI[/], in place of every model; only for this start"
        )
    if "data_dir" in settings.model_fields_set:
        folder = shlex.quote(str(settings.data_dir))
        console.print(f"  Accounts  agentcontainer admin --help, with --data-dir {folder}", markup=False)
    console.print("  Stop      Ctrl-C")
    with contextlib.suppress(OSError):
        console.file.flush()


def show_as_json(
    settings: Settings, started: "Started", profile: str | None = None, page: str | None = None
) -> None:
    """Print the same as one JSON object."""
    line = json_line(
        "info", __name__, "AgentContainer is up",
        apiUrl=f"{started.base_url}/api/v1", dataDir=str(settings.data_dir), apiKey=started.api_key,
        profile=profile, dashboardUrl=page,
    )  # fmt: skip
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def say_as_json(line: str) -> None:
    """`say`, as a line of a log in JSON."""
    with contextlib.suppress(OSError):
        sys.stderr.write(json_line("info", __name__, line) + "\n")
        sys.stderr.flush()


def say(line: str) -> None:
    """Print a line for the operator, if there is still a terminal or file to print to; in a file with its time."""
    with contextlib.suppress(OSError):
        at = "" if sys.stderr.isatty() else f"{local_time()} "
        sys.stderr.write(f"{at}agentcontainer: {line}\n")
        sys.stderr.flush()
