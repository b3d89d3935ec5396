"""`agentcontainer config`: prints the settings in force and where each comes from, without secrets."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from agentcontainer.cli.data_dir import read_secret_key
from agentcontainer.cli.error_lines import one_line
from agentcontainer.cli.options import DataDir, load
from agentcontainer.domain.installation.shown_settings import HIDDEN, Entry, entry_of
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings


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
    source = f"option --{name.replace('_', '-')}" if is_option else None
    entry = entry_of(chosen, name, source)
    return _secret_key(chosen, entry) if name == "secret_key" else entry


def _secret_key(chosen: Settings, entry: Entry) -> Entry:
    """The secret key, which may be in the data folder instead."""
    if chosen.secret_key is not None:
        return entry
    path = chosen.data_dir / "secret_key"
    try:
        is_stored = read_secret_key(chosen.data_dir) is not None
    except (OSError, SettingsError):
        return Entry(entry.name, HIDDEN, f"file {path}, which cannot be used")
    return Entry(entry.name, HIDDEN, f"file {path}") if is_stored else entry
