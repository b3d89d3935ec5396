"""The command `agentcontainer`."""

import typer

from agentcontainer.cli import admin, demo, doctor, processes, up
from agentcontainer.cli.error_lines import CommandGroup

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Run AI agents in sandboxed containers behind an HTTP API.",
)  # fmt: skip
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("api")(processes.api)
app.command("runner")(processes.runner)
app.command("migrate")(processes.migrate)
app.command("doctor")(doctor.doctor)
app.add_typer(admin.app, name="admin")

if __name__ == "__main__":
    app()
