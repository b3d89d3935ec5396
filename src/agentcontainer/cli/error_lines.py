"""Prints the failure of a command as one line on stderr, without a stack trace, and exits with code 1."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from agentcontainer.errors import AgentContainerError
from agentcontainer.printable import printable
from agentcontainer.settings import ENV_PREFIX


class CommandGroup(TyperGroup):
    """A command group whose commands report failures as one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if _is_of_typer(error) or os.environ.get(f"{ENV_PREFIX}LOG_LEVEL") == "debug":
                raise
            sys.stderr.write(f"error: {one_line(_message(error))}\n")
            raise typer.Exit(1) from None


def one_line(text: str) -> str:
    """The text on one line, without terminal control characters."""
    return " ".join(harmless(text).split())


def harmless(text: str) -> str:
    """The text with a space for each unprintable character: control, bidirectional and line break characters."""
    return printable(text, " ")


def _message(error: Exception) -> str:
    if isinstance(error, AgentContainerError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if type(error).__module__.startswith("asyncpg."):
        return f"The database reported: {error}"
    return (
        f"unexpected {type(error).__name__}: {error} (set {ENV_PREFIX}LOG_LEVEL=debug to see the stack trace)"
    )


def _is_of_typer(error: Exception) -> bool:
    return type(error).__module__.startswith("typer.")
