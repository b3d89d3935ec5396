"""The option `--data-dir` that all commands share, and a command's settings: from its options and the environment."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agentcontainer import settings
from agentcontainer.cli.error_lines import report
from agentcontainer.settings import ENV_PREFIX, Settings

# Variables of the client and of the commands for users, which a server ignores.
OF_CLIENTS = frozenset(f"{ENV_PREFIX}{name}" for name in ("URL", "API_KEY", "PROFILE", "CANCEL_ON_EXIT"))
# A string, not a Path: an empty one must be refused, and Path("") is the current folder.
DataDir = Annotated[str | None, typer.Option(metavar="PATH", help="Folder for all data.")]


def load(**options: Any) -> Settings:
    """The settings of this command, from its options and the environment. Unknown variables are named on stderr.

    Raises:
        SettingsError: a value is wrong; the message names its variable.
    """
    for sentence in unknown_names(os.environ):
        report("warning", sentence)
    return settings.load(**options)


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable with our prefix that is not a setting, with the setting of the nearest name."""
    settings_names = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | OF_CLIENTS
    unknown = sorted(
        name
        for name in environment
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in settings_names
    )
    return [_unknown(name, sorted(settings_names)) for name in unknown]


def _unknown(name: str, settings_names: list[str]) -> str:
    # Compared without the prefix, by which all names resemble each other.
    suffixes = [known.removeprefix(ENV_PREFIX) for known in settings_names]
    nearest = difflib.get_close_matches(name[len(ENV_PREFIX) :].upper(), suffixes, n=1, cutoff=0.75)
    hint = (
        f"did you mean {ENV_PREFIX}{nearest[0]}?"
        if nearest
        else "`agentcontainer config` lists all settings."
    )
    return f"{name} is not a setting and has no effect; {hint}"
