"""Builds the error message for a Pi process that ended by itself."""

import re
import signal

MAX_COMMAND_CHARACTERS = 200
# Pi prints this at each first start of a task.
_HARMLESS = re.compile(r"^Warning: No project session found with id .*(\n|$)", re.MULTILINE)


def crash_message(exit_code: int, stderr: str, command: str | None) -> str:
    """A sentence for the task's owner. `command`: the last that the agent started, if it had not ended."""
    details = _HARMLESS.sub("", stderr).strip()
    sender = _signal(exit_code)
    if sender is None:
        return f"Pi ended unexpectedly with exit code {exit_code}. {details}".strip()
    cause = f"Pi was ended by {sender}, which a process in the container sent, not the platform."
    if command is not None:
        text = " ".join(command.split())
        is_long = len(text) > MAX_COMMAND_CHARACTERS
        cause += f" The agent's last command was: {text[:MAX_COMMAND_CHARACTERS]}{'…' if is_long else ''}"
    return f"{cause} {details}".strip()


def _signal(exit_code: int) -> str | None:
    try:
        return signal.Signals(exit_code - 128).name
    except ValueError:
        return None
