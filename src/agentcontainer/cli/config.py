"""`agentcontainer config`: prints the settings in force and where each comes from, without secrets."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

import typer
from pydantic import SecretStr

from agentcontainer.cli.data_dir import read_secret_key
from agentcontainer.cli.error_lines import one_line
from agentcontainer.cli.options import DataDir, encoded, load
from agentcontainer.errors import SettingsError
from agentcontainer.providers import PROVIDERS
from agentcontainer.settings import ENV_PREFIX, FROM_FILES, Settings

HIDDEN = "(hidden)"
BASE_URLS = frozenset(provider.base_url_setting for provider in PROVIDERS.values())


@dataclass(frozen=True)
class Entry:
    """One setting as it is printed. `value` is None if it is unset."""

    name: str
    value: str | None
    source: str


def config(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print the settings in force, and where each comes from. Secrets are not shown."""
    chosen = load(data_dir=data_dir)
    options = () if data_dir is None else ("data_dir",)
    entries = [_entry(chosen, name, name in options) for name in Settings.model_fields]
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries]))
        return
    for entry in entries:
        value = "unset" if entry.value is None else one_line(entry.value)
        typer.echo(f"{entry.name} = {value}   # {entry.source}")


def _entry(chosen: Settings, name: str, is_option: bool) -> Entry:
    value = getattr(chosen, name)
    variable = ENV_PREFIX + name.upper()
    if is_option:
        source = f"option --{name.replace('_', '-')}"
    else:
        source = "environment" if name in chosen.model_fields_set else "default"
    if name in FROM_FILES and (path := getattr(chosen, f"{name}_file")) is not None:
        source = f"file {path}"
    if name == "secret_key":
        return _secret_key(chosen, variable, source)
    if value is None:
        return Entry(variable, None, source)
    if isinstance(value, SecretStr):
        return Entry(variable, HIDDEN, source)
    return Entry(variable, _without_secrets(name, encoded(value)), source)


def _without_secrets(name: str, text: str) -> str:
    if name in ("database_url", "database_direct_url"):
        return _without_password(text)
    if name == "storage_url":
        return _without_endpoint_secrets(text)
    if name in BASE_URLS and text != Settings.model_fields[name].default:
        return _without_path(text)
    return text


def _secret_key(chosen: Settings, variable: str, source: str) -> Entry:
    if chosen.secret_key is not None:
        return Entry(variable, HIDDEN, source)
    path = chosen.data_dir / "secret_key"
    try:
        is_stored = read_secret_key(chosen.data_dir) is not None
    except (OSError, SettingsError):
        return Entry(variable, HIDDEN, f"file {path}, which cannot be used")
    return Entry(variable, HIDDEN, f"file {path}") if is_stored else Entry(variable, None, source)


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
