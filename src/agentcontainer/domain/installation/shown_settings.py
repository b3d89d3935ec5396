"""The settings in force as operators see them: where each comes from, and no secrets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import SecretStr

from agentcontainer.price_file import PriceFile
from agentcontainer.providers import PROVIDERS
from agentcontainer.settings import ENV_PREFIX, FROM_FILES, Settings

HIDDEN = "(hidden)"
BASE_URLS = frozenset(provider.base_url_setting for provider in PROVIDERS.values())


@dataclass(frozen=True)
class Entry:
    """One setting as it is shown. `value` is None if it is unset."""

    name: str
    value: str | None
    source: str


def all_of(settings: Settings) -> Sequence[Entry]:
    """All settings of this process."""
    return [entry_of(settings, name) for name in Settings.model_fields]


def entry_of(settings: Settings, name: str, source: str | None = None) -> Entry:
    """One setting. `source`: where it comes from, if the settings do not say."""
    value = getattr(settings, name)
    if source is None:
        source = "environment" if name in settings.model_fields_set else "default"
    if name in FROM_FILES and (path := getattr(settings, f"{name}_file")) is not None:
        source = f"file {path}"
    variable = ENV_PREFIX + name.upper()
    if value is None:
        return Entry(variable, None, source)
    if isinstance(value, SecretStr):
        return Entry(variable, HIDDEN, source)
    return Entry(variable, _without_secrets(name, encoded(value)), source)


def encoded(value: object) -> str:
    """A setting's value as it is written into an environment variable."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, PriceFile):
        return value.path
    if isinstance(value, tuple):
        return ",".join(str(item) for item in cast("tuple[object, ...]", value))
    return str(value)


def _without_secrets(name: str, text: str) -> str:
    if name in ("database_url", "database_direct_url"):
        return _without_password(text)
    if name == "storage_url":
        return _without_endpoint_secrets(text)
    if name in BASE_URLS and text != Settings.model_fields[name].default:
        return _without_path(text)
    return text


def _without_password(url: str) -> str:
    """The URL without its password and parameters: PostgreSQL accepts the password as a parameter, too."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.netloc.rpartition('@')[0].partition(':')[0]}@" if "@" in parts.netloc else ""
    hidden = "?(hidden)" if parts.query else ""
    return f"{parts.scheme}://{user}{host}{parts.path}{hidden}"


def _without_endpoint_secrets(url: str) -> str:
    """The URL of an object store with scheme and host of its endpoint only."""
    parts = urlsplit(url)
    options = [
        (name, _without_path(value) if name == "endpoint" else value)
        for name, value in parse_qsl(parts.query)
    ]
    return parts._replace(query=urlencode(options, safe=":/()")).geturl()


def _without_path(url: str) -> str:
    """Scheme, host and port of the URL: its path may hold the key of a proxy for models."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    is_whole = host == parts.netloc and not (parts.path.strip("/") or parts.query or parts.fragment)
    return f"{parts.scheme}://{host}{'' if is_whole else '/' + HIDDEN}"
