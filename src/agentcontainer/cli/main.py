"""The command `agentcontainer`."""

from importlib.metadata import version
from typing import Annotated

import typer

from agentcontainer import open_files
from agentcontainer.cli import (
    admin,
    admin_accounts,
    config,
    demo,
    doctor,
    maintenance,
    processes,
    setup,
    status,
    up,
)
from agentcontainer.cli.error_lines import CommandGroup

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Run AI agents in sandboxed containers behind an HTTP API.",
)  # fmt: skip


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"agentcontainer {version('agentcontainer')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Run AI agents in sandboxed containers behind an HTTP API."""
    open_files.raise_limit()


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("api")(processes.api)
app.command("runner")(processes.runner)
app.command("migrate")(processes.migrate)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("setup")(setup.setup)
app.command("config")(config.config)
admin_accounts.add_commands(admin.app)
maintenance.add_commands(admin.app)
app.add_typer(admin.app, name="admin")

if __name__ == "__main__":
    app()
