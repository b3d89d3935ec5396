"""Prints the failure of a command as one line on stderr, without a stack trace, and exits with code 1; 2 if it was used
wrongly."""

import os
import sys
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.exceptions import TyperException

from agentcontainer import field_faults
from agentcontainer.cli.terminal import allow_any_text
from agentcontainer.errors import AgentContainerError
from agentcontainer.printable import printable
from agentcontainer.settings import ENV_PREFIX

WITH_LOG = (["up"], ["api"], ["runner"])  # the commands whose stderr is a log


class CommandGroup(TyperGroup):
    """A command group whose commands report failures as one line."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        allow_any_text()
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **options)
        try:
            code = super().main(*args, standalone_mode=False, **options)
        except TyperException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "agentcontainer"
            report("error", f"{error.format_message()} (see: {command} --help)")
            raise SystemExit(error.exit_code) from None
        except typer.Abort:
            raise SystemExit(1) from None
        raise SystemExit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise  # the reader of the output has gone: click ends the command without a message
        except Exception as error:
            if _is_of_typer(error) or os.environ.get(f"{ENV_PREFIX}LOG_LEVEL") == "debug":
                raise
            report("error", _message(error))
            raise typer.Exit(1) from None


def report(level: str, sentence: str) -> None:
    """Write the sentence to stderr on one line, in the format of the log if the command writes one. The settings may
    be wrong, so the environment is asked."""
    if sys.argv[1:2] in WITH_LOG and os.environ.get(f"{ENV_PREFIX}LOG_FORMAT") == "json":
        from agentcontainer.cli.log_lines import json_line  # which imports what other commands do not need

        sys.stderr.write(json_line(level, __name__, sentence) + "\n")
    else:
        sys.stderr.write(f"{level}: {one_line(sentence)}\n")


def local_time(seconds: float | None = None) -> str:
    """A time as text log lines show it, with its zone. `seconds`: since the epoch; None: now."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.astimezone().isoformat(timespec="milliseconds")


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
    if isinstance(error, ValidationError):
        fault = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(step) for step in fault["loc"]) or error.title
        return f"unexpected data: {field} {field_faults.sentence(fault)}"
    if type(error).__module__.startswith("asyncpg."):
        return f"The database reported: {error}"
    return (
        f"unexpected {type(error).__name__}: {error} (set {ENV_PREFIX}LOG_LEVEL=debug to see the stack trace)"
    )


def _is_of_typer(error: Exception) -> bool:
    return type(error).__module__.startswith("typer.")
