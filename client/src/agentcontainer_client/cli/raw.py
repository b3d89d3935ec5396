"""`api`, `open`, `completion`: the raw API, the browser, and the shell."""

import json
import sys
from typing import Annotated, Any

import typer

from agentcontainer_client.cli import text
from agentcontainer_client.cli.browsing import show_page
from agentcontainer_client.cli.state import state_of
from agentcontainer_client.errors import ConfigurationError

SHELLS = ("bash", "zsh", "fish", "powershell")
COMPLETE_VARIABLE = "_AGENTCONTAINER_COMPLETE"


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("api")(api_request)
    app.command("open")(open_page)
    app.command("completion")(completion)


def api_request(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Below /api/v1, such as /tasks.")],
    fields: Annotated[
        list[str],
        typer.Option(
            "--field",
            "-F",
            metavar="KEY=VALUE",
            help="A field of the body, or a parameter of a GET; numbers, true, false, null and JSON are taken as such.",
        ),
    ] = [],  # noqa: B006
    reads_stdin: Annotated[bool, typer.Option("--input", help="Read the body from stdin.")] = False,
) -> None:
    """Send a request to the API and print the answer.

    agentcontainer api GET /tasks -F status=failed -F limit=5
    """
    state = state_of(ctx)
    if "://" in path:
        raise ConfigurationError("Give a path below /api/v1.")
    values = {key: _value(value) for key, value in text.pairs(fields).items()}
    is_get = method.upper() in {"GET", "HEAD", "DELETE"}
    body: Any = _body_of_stdin() if reads_stdin else values
    response = state.client.raw.request(
        method, path, query=values if is_get else None, body=None if is_get else body
    )
    content = response.content
    if sys.stdout.isatty() and "json" in response.headers.get("content-type", ""):
        content = json.dumps(response.json(), indent=2).encode()
    state.raw(content)


def open_page(
    ctx: typer.Context,
    task: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The page of this task, instead of the first page.")
    ] = None,
) -> None:
    """Print a link that logs a browser in to the dashboard, and open it if there is a terminal.

    The link works once, within 10 minutes. Treat it as a password.
    """
    state = state_of(ctx)
    show_page(state, "/" if task is None else f"/tasks/{state.task_id(task)}")


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish|powershell")]) -> None:
    """Print the script that makes a shell complete the commands; put it into the shell's start file.

    agentcontainer completion bash >> ~/.bashrc
    """
    if shell not in SHELLS:
        raise ConfigurationError(f"Choose one of {', '.join(SHELLS)}.")
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="agentcontainer", complete_var=COMPLETE_VARIABLE, shell=shell)
    sys.stdout.write(script + "\n")


def _body_of_stdin() -> Any:
    try:
        return json.loads(sys.stdin.buffer.read())
    except ValueError as error:
        raise ConfigurationError(f"What stdin has is not JSON: {error}") from None


def _value(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value
