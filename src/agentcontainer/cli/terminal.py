"""Writes output without ending the command if the stream lacks a character or its reader has gone."""

import contextlib
import io
import os
import sys

from rich.console import Console


def allow_any_text() -> None:
    """Let stdout and stderr write `?` for what their encoding lacks, for example with PYTHONIOENCODING=ascii."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


class Terminal(Console):
    """A console for plain lines. Once its reader has gone, it prints nothing more, and the command goes on."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with contextlib.suppress(
            OSError, ValueError
        ):  # also for what others print, and for the flush at exit
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, sys.stdout.fileno())
            os.close(descriptor)
