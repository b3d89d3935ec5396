"""`login`, `logout`, `profiles`: stored connections."""

from typing import Annotated

import typer

from agentcontainer_client import AgentContainer, _config, _profiles
from agentcontainer_client._config import Profile
from agentcontainer_client.cli.account import secret_from
from agentcontainer_client.cli.browser_login import key_from_browser
from agentcontainer_client.cli.state import state_of
from agentcontainer_client.errors import ConfigurationError


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("login")(login)
    app.command("logout")(logout)
    app.command("profiles")(profiles)


def login(
    ctx: typer.Context,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="With an API key, from a hidden prompt or stdin.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Agent to use if none is named.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to use if none is named.")] = None,
) -> None:
    """Log in with the browser or an API key, and store the connection as a profile. --url and --profile say which.

    agentcontainer login --url https://agents.example.com

    agentcontainer login --with-key --url https://agents.example.com
    """
    state = state_of(ctx)
    name = state.profile or "default"
    before = next((found for found in _profiles.names() if found.name == name), None)
    url = state.url or (before.url if before else None)
    if url is None:
        raise ConfigurationError("Say where to log in: --url https://…")
    key = secret_from("API key") if with_key else key_from_browser(state, url)
    with AgentContainer(url, key) as client:
        account = client.account.get()
        stored = Profile(
            name=name, url=client.base_url, api_key=key,
            agent=agent or (before.agent if before else None), model=model or (before.model if before else None),
        )  # fmt: skip
    file = _profiles.store(stored)
    state.say(f"logged in to {stored.url} as {account.name}; stored as profile {name} in {file}")


def logout(ctx: typer.Context) -> None:
    """Remove the current profile, or that of --profile. Its API key stays valid: revoke it with `keys revoke`."""
    state = state_of(ctx)
    name = state.profile or _profiles.current_name()
    if name is None or not _profiles.remove(name):
        raise ConfigurationError("There is no such profile.")
    state.say(f"removed the profile {name}")


def profiles(
    ctx: typer.Context,
    used: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Use this profile from now on.")
    ] = None,
) -> None:
    """List the profiles, or choose the current one."""
    state = state_of(ctx)
    if used is not None:
        chosen = _config.profile(used)
        assert chosen is not None
        _profiles.store(chosen)
        return
    current = _profiles.current_name()
    rows = [
        [
            "*" if found.name == current else "",
            found.name,
            found.url or "",
            found.agent or "",
            found.model or "",
        ]
        for found in _profiles.names()
    ]
    state.table(rows, ["", "NAME", "URL", "AGENT", "MODEL"])
