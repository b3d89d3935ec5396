"""Where the client finds the URL, the API key and the defaults: arguments, environment, then the profile."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from agentcontainer_client.errors import ConfigurationError, NotLoggedIn

URL, API_KEY, PROFILE = "AGENTCONTAINER_URL", "AGENTCONTAINER_API_KEY", "AGENTCONTAINER_PROFILE"
STANDARD_AGENT = "agt_standard_coding"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A stored connection: where the API is, the key for it, and defaults."""

    name: str
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    agent: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the API is, and the key for it."""

    base_url: str
    api_key: str = field(repr=False)
    agent: str | None = None
    model: str | None = None


def path() -> Path:
    """The file of the profiles."""
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        return Path(folder, "agentcontainer", "config.toml")
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", "~")).expanduser() / "agentcontainer" / "config.toml"
    return Path("~/.config/agentcontainer/config.toml").expanduser()


def read(file: Path | None = None) -> Mapping[str, Any]:
    """The content of the file of profiles; empty if there is none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    file = file or path()
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from None
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None


def profile(name: str | None = None, file: Path | None = None) -> Profile | None:
    """The profile of this name; without one, that of AGENTCONTAINER_PROFILE, else the current one.

    Raises:
        ConfigurationError: a profile was named that does not exist.
    """
    content = read(file)
    wanted = name or os.environ.get(PROFILE) or None
    chosen = wanted or content.get("current")
    stored = content.get("profiles", {}).get(chosen)
    if not isinstance(stored, dict):
        if wanted is not None:
            raise ConfigurationError(f"There is no profile {wanted!r} in {file or path()}.")
        return None
    texts = {key: value for key, value in cast("dict[str, object]", stored).items() if isinstance(value, str)}
    return Profile(
        name=str(chosen),
        url=texts.get("url"),
        api_key=texts.get("api_key"),
        agent=texts.get("agent"),
        model=texts.get("model"),
    )


def connection(
    base_url: str | None = None, api_key: str | None = None, profile_name: str | None = None
) -> Connection:
    """What the client connects to.

    The profile is read only if something is missing. Its key is sent to its own URL only: with another URL, the key
    must come from the arguments or the environment.

    Raises:
        NotLoggedIn: the URL or the key is missing.
        ConfigurationError: the profile or the URL is wrong.
    """
    url = base_url or (None if profile_name else os.environ.get(URL))
    key = api_key or (None if profile_name else os.environ.get(API_KEY))
    stored = None if url and key else profile(profile_name)
    if stored is not None and url is None:
        url = stored.url
    if stored is not None and key is None and stored.url and url and _origin(stored.url) == _origin(url):
        key = stored.api_key
    if not url:
        raise NotLoggedIn(
            "No URL. Start an installation here with `agentcontainer up`, log in to another with `agentcontainer login "
            f"--url https://…`, set {URL}, or pass base_url."
        )
    if not key:
        raise NotLoggedIn(
            f"No API key for {_origin(url)}. Log in with `agentcontainer login --url {_origin(url)}`, "
            f"set {API_KEY}, or pass api_key."
        )
    if any(not " " < character <= "~" for character in key):
        raise ConfigurationError(
            "The API key contains a space, a line break or a character that is not ASCII."
        )
    return Connection(
        base_url=_origin(url),
        api_key=key,
        agent=stored.agent if stored else None,
        model=stored.model if stored else None,
    )


def _origin(url: str) -> str:
    """The URL without the path of the API, with which it may have been copied.

    Raises:
        ConfigurationError: it is not a URL of HTTP.
    """
    try:
        parts = urlsplit(url.strip())
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
        parts = urlsplit("")
    if not is_valid or parts.username or parts.query:
        raise ConfigurationError("The URL must look like https://agents.example.com.")
    path = parts.path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"
