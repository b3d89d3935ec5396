"""`sessions`: browsers that are logged in, and links that log one in."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from agentcontainer_client.cli import text
from agentcontainer_client.cli.run import Fields, IsJson
from agentcontainer_client.cli.state import state_of

sessions = typer.Typer(help="Browsers that are logged in.", invoke_without_command=True)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(sessions, name="sessions")


@sessions.callback()
def list_sessions(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List the browsers that are logged in."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.sessions.list().to_list()
    if is_json:
        state.json([session.to_wire() for session in found], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [
            session.id,
            session.role,
            text.age_text(session.created_at, now),
            text.age_text(session.last_seen_at, now),
            text.one_line(session.user_agent, 60),
        ]
        for session in found
    ]
    state.table(rows, ["ID", "ROLE", "CREATED", "SEEN", "BROWSER"])


@sessions.command("end")
def end(ctx: typer.Context, session: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Log a browser out at once."""
    state = state_of(ctx)
    state.client.sessions.end(session)
    state.say(f"{text.one_line(session)} is logged out")


@sessions.command("link")
def link(ctx: typer.Context) -> None:
    """Print a link that logs one browser in, with the rights of this key. It works once, for 10 minutes."""
    state = state_of(ctx)
    state.line(state.client.sessions.create_link().url)
