"""Reads what a user types: messages of one line or of several, answers, and secrets."""

import getpass
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

import typer

PROMPT, FURTHER = "> ", "… "
WAKE_SECONDS = 0.2


def is_interactive() -> bool:
    """Whether somebody types, who can correct a mistake."""
    return sys.stdin.isatty()


def read_message() -> str:
    """The next message. A line that ends with a backslash goes on in the next one.

    Raises:
        EOFError: there is none any more.
    """
    lines: list[str] = []
    while True:
        try:
            line = _read_line(FURTHER if lines else PROMPT)
        except EOFError:
            if not lines:
                raise
            line = ""
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def _read_line(prompt: str) -> str:
    if sys.stdin.isatty() and sys.stdout.isatty():
        try:
            import readline
        except ImportError:  # Windows has an editor of its own
            return input(prompt)
        # Pasted lines are one message, not a message each.
        readline.parse_and_bind("set enable-bracketed-paste on")
        with interruptible():
            return input(prompt)
    if sys.stdin.isatty():
        sys.stderr.write(prompt)
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


@contextmanager
def interruptible() -> Generator[None]:
    """In the block, a system call that waits for input returns several times a second.

    Python looks for signals after such a call was interrupted. Without this, Ctrl-C in the moment between the prompt
    and the call has no effect until the next key is pressed.
    """
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    signal.setitimer(signal.ITIMER_REAL, WAKE_SECONDS, WAKE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_confirmed(question: str) -> bool:
    """Whether the user answers yes."""
    with interruptible():
        return typer.confirm(question, err=True)


def read_secret(prompt: str) -> str:
    """What the user types, unseen."""
    with interruptible():
        return getpass.getpass(f"{prompt}: ", sys.stderr)
