"""Gets an API key with the consent of a person who is logged in to the dashboard, as in RFC 8628."""

import os
import socket
import sys
import time
import webbrowser
from datetime import UTC, datetime

from agentcontainer_client import AgentContainer, errors, models
from agentcontainer_client.cli import text
from agentcontainer_client.cli.state import State

POLL_SECONDS = 2.0
NO_KEY = "none"  # the routes of logins look at no key


def key_from_browser(state: State, url: str) -> str:
    """The key of a login that a person approves in a browser.

    Raises:
        ConfigurationError: there is no terminal, so nobody can compare the phrase.
        NotLoggedIn: the person denied it, or it has expired.
    """
    if not sys.stderr.isatty():
        raise errors.ConfigurationError(
            "Without a terminal, log in with an API key: agentcontainer login --with-key --url https://…"
        )
    with AgentContainer(url, NO_KEY) as client:
        started = client.cli_logins.begin(socket.gethostname())
        state.err.print(
            f"Open this page, and approve the login if it shows the phrase {text.one_line(started.phrase)}:\n"
            f"  {text.one_line(started.url)}"
        )
        if started.url.startswith(("https://", "http://")) and "SSH_CONNECTION" not in os.environ:
            webbrowser.open(started.url)
        return _approved(client, started)


def _approved(client: AgentContainer, started: models.StartedCliLogin) -> str:
    while datetime.now(UTC) < started.expires_at:
        time.sleep(POLL_SECONDS)
        result = client.cli_logins.poll(started.device_code)
        if result.api_key:
            return result.api_key
        if result.status == "denied":
            raise errors.NotLoggedIn("The login was denied.")
    raise errors.NotLoggedIn("The login has expired. Begin it again.")
