"""The commands, the options that they share, and how failures are reported."""

import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from agentcontainer_client import __version__
from agentcontainer_client.cli import (
    account,
    agents,
    chat,
    exits,
    failures,
    files,
    installation,
    profiles,
    raw,
    rerun,
    sessions,
    tasks,
    webhooks,
)
from agentcontainer_client.cli import (
    run as running,
)
from agentcontainer_client.cli.state import State
from agentcontainer_client.cli.text import harmless
from agentcontainer_client.errors import AgentContainerError

GROUP = "agentcontainer.commands"  # entry points: the commands of operators, from the server's distribution
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
SHARED_FLAGS = frozenset({"--debug", "--no-color"})
SHARED_VALUES = frozenset({"--profile", "--url"})

EPILOG = """Exit codes: 0 finished, 1 error, 2 wrong use, 3 the task failed, 4 not logged in or no rights, 5 finished
incompletely, 6 cancelled or expired, 7 not enough balance, 124 --timeout passed, 130 detached by Ctrl-C."""


class Group(TyperGroup):
    """Reports failures as sentences on stderr, with the exit code that belongs to them."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        if not standalone_mode:
            return super().main(*arguments, standalone_mode=False, **options)
        try:
            code = super().main(*arguments, standalone_mode=False, **options)
        except TyperException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "agentcontainer"
            sys.stderr.write(f"error: {harmless(error.format_message())} (see: {command} --help)\n")
            raise SystemExit(error.exit_code) from None
        except typer.Abort:
            raise SystemExit(exits.ERROR) from None
        raise SystemExit(code if isinstance(code, int) else exits.OK)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(exits.DETACHED) from None
        except BrokenPipeError:
            raise  # the reader of the output has gone: the command ends without a message
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                raise
            state = ctx.find_object(State)
            if state is not None and state.is_debug:
                import traceback

                traceback.print_exc()
            sys.stderr.write(f"error: {_sentence(error)}\n")
            raise typer.Exit(exits.of_error(error)) from None
        finally:
            state = ctx.find_object(State)
            if state is not None:
                state.warn_of_older_server()
                state.close()


def _sentence(error: Exception) -> str:
    if isinstance(error, AgentContainerError | OSError):
        return failures.sentence(error)
    return harmless(f"unexpected {type(error).__name__}: {error} (--debug shows the stack trace)")


app = typer.Typer(
    cls=Group, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"agentcontainer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Use this profile.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Use the installation at this URL.")] = None,
    is_debug: Annotated[
        bool, typer.Option("--debug", help="Show requests, without secrets, on stderr.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours (also: NO_COLOR=1).")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Give AI agents tasks and files, and get results and files.

    agentcontainer run "Which region sells best? Write report.md." sales.csv -o out/

    cat error.log | agentcontainer run "Explain this." > answer.md
    """
    ctx.obj = State(profile=profile, url=url, is_debug=is_debug, has_color=not no_color)


for _module in (
    running,
    rerun,
    tasks,
    chat,
    files,
    agents,
    account,
    sessions,
    webhooks,
    installation,
    profiles,
    raw,
):
    _module.add_commands(app)


def run(arguments: list[str]) -> None:
    """Run the command of these arguments; a command of operators runs as the server defines it.

    `api` is both: with a method it sends a request, without one it serves the API.
    """
    operators = {point.name: point for point in entry_points(group=GROUP)}
    shared, rest = arranged(arguments)
    name = next((argument for argument in rest if not argument.startswith("-")), None)
    known = {command.name for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    is_request = name == "api" and bool(METHODS & {argument.upper() for argument in rest[1:2]})
    if name in operators and (name not in known or (name == "api" and not is_request)):
        operators[name].load()()
        return
    if name in HELP_OF_OPERATORS and name not in known:
        sys.stderr.write(
            f"error: `{name}` is for operators, and comes with the server: pip install agentcontainer\n"
        )
        raise SystemExit(exits.WRONG_USE)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    if raw.COMPLETE_VARIABLE in os.environ:  # a shell asks for completions
        from typer._completion_classes import completion_init

        completion_init()
        _list_operators(operators)
    if not arguments or (name is None and {"-h", "--help"} & {*arguments}):
        _list_operators(operators)
    app([*shared, *rest], prog_name="agentcontainer")


def arranged(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The shared options, wherever they stand, and the other arguments. `--json=id,status` becomes two options."""
    shared: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            rest += arguments[position:]
            break
        if argument in SHARED_FLAGS or (argument.partition("=")[0] in SHARED_VALUES and "=" in argument):
            shared.append(argument)
        elif argument in SHARED_VALUES and position + 1 < len(arguments):
            shared += arguments[position : position + 2]
            position += 1
        elif argument.startswith("--json="):
            rest += ["--json", "--fields", argument.partition("=")[2]]
        elif argument == "--internet":
            rest.append("--internet=")
        else:
            rest.append(argument)
        position += 1
    return shared, rest


def _list_operators(operators: dict[str, EntryPoint]) -> None:
    """Show operators' commands in the help, if the server is installed. They are not loaded for it."""
    for name in operators:
        if name not in {command.name for command in app.registered_commands}:
            app.command(
                name, rich_help_panel="For operators", help=HELP_OF_OPERATORS.get(name, "See --help.")
            )(lambda: None)


HELP_OF_OPERATORS = {
    "up": "Run everything on this machine.",
    "demo": "Run one task from upload to download.",
    "api": "Serve the HTTP API.",
    "runner": "Take tasks and run them on this host.",
    "migrate": "Bring the database to the schema of this version.",
    "status": "Show the processes and the queue of the installation.",
    "doctor": "Examine the host, the database and the store.",
    "setup": "Install the agent runtime.",
    "config": "Print the settings in force.",
    "admin": "Accounts, keys, maintenance.",
}
