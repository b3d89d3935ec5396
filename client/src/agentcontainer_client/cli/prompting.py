"""Reads what a user writes, of one line or of several."""

import contextlib
import sys

PROMPT, FURTHER = "> ", "… "


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
        with contextlib.suppress(ImportError):  # Windows has an editor of its own
            import readline

            # Pasted lines are one message, not a message each.
            readline.parse_and_bind("set enable-bracketed-paste on")
        return input(prompt)
    if sys.stdin.isatty():
        sys.stderr.write(prompt)
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
