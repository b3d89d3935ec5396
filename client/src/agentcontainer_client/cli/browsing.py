"""Opens pages of the installation in the user's browser, which is logged in by a link that works once."""

import os
import sys
import webbrowser
from html import escape
from pathlib import Path
from urllib.parse import quote, urlsplit

from agentcontainer_client import _config
from agentcontainer_client.cli.state import State
from agentcontainer_client.errors import Forbidden

_REDIRECT = """<!doctype html>
<meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>AgentContainer</title><a href="{url}">Continue to AgentContainer</a>
"""


def show_page(state: State, path: str = "/") -> None:
    """Print a link that logs a browser in, once, and leads to this page; open it if there is a terminal and a browser.

    A key that may only read makes no such link: the page then asks for a key.
    """
    try:
        base, _, code = state.client.sessions.create_link().url.partition("#")
    except Forbidden:
        url = f"{state.client.base_url}{path}"
        state.line(url)
        if sys.stdout.isatty():
            open_url(url)
        return
    url = f"{base}#{code}" if path == "/" else f"{base}?to={quote(path, safe='/')}#{code}"
    state.line(url)
    if sys.stdout.isatty() and has_browser() and _is_page(url):
        try:
            file = _redirect_to(url)
        except OSError as error:
            state.say(f"The browser cannot be opened: {error.filename}: {error.strerror}", "yellow")
            return
        webbrowser.open(file.as_uri())


def open_url(url: str) -> None:
    """Open a URL without a secret, if there is a browser."""
    if has_browser() and _is_page(url):
        webbrowser.open(url)


def has_browser() -> bool:
    """Whether this session can show a browser's window. `BROWSER` names one in any case."""
    if os.environ.get("BROWSER"):
        return True
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in {"darwin", "win32"} or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _is_page(url: str) -> bool:
    """Whether it is a page of a website. The URL comes from the server, which could name a local program otherwise."""
    return urlsplit(url).scheme in {"http", "https"}


def _redirect_to(url: str) -> Path:
    """A file for the user only that leads a browser to the URL. Other users could read the URL in a command line."""
    file = _config.path().with_name("open.html")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(_REDIRECT.format(url=escape(url)))
    return file
