"""The option `--data-dir` that all commands share, and the settings of a command."""

import os
import sys
from typing import Annotated, Any

import typer

from agentcontainer import settings
from agentcontainer.cli.error_lines import one_line
from agentcontainer.settings import Settings

# A string, not a Path: an empty one must be refused, and Path("") is the current folder.
DataDir = Annotated[str | None, typer.Option(metavar="PATH", help="Folder for all data.")]


def load(**options: Any) -> Settings:
    """The settings of this command, from its options and the environment. Unknown variables are named on stderr.

    Raises:
        SettingsError: a value is wrong; the message names its variable.
    """
    for sentence in settings.unknown_names(os.environ):
        sys.stderr.write(f"warning: {one_line(sentence)}\n")
    return settings.load(**options)
