"""The command `agentcontainer` on a terminal of its own, and what the screen shows."""

import os
import pty
import re
import select
import signal
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "agentcontainer_client.cli"]


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str, columns: int = 80) -> None:
        self.output = b""
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it
            os.environ.clear()
            os.environ.update(environment | {"COLUMNS": str(columns), "LINES": "24"})
            os.execv(COMMAND[0], [*COMMAND, *arguments])

    def until(self, text: bytes, seconds: float = 60) -> bytes:
        """Read until this has been written, a regular expression."""
        deadline = time.monotonic() + seconds
        while not re.search(text, self.output, re.DOTALL):
            assert time.monotonic() < deadline, self.output[-3000:]
            self._read(0.2)
        return self.output

    def send(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def end(self, seconds: float = 60) -> int:
        """Read to the end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.2)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._read(0.1)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(self.output[-3000:])

    def close(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._descriptor)

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if ready:
            try:
                self.output += os.read(self._descriptor, 65536)
            except OSError:
                time.sleep(0.05)


@contextmanager
def terminal(environment: dict[str, str], *arguments: str, columns: int = 80) -> Iterator[Terminal]:
    opened = Terminal(environment, *arguments, columns=columns)
    try:
        yield opened
    finally:
        opened.close()


class Screen:
    """What a terminal of this width shows after these bytes: the lines that scrolled away too."""

    _SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[=>]")

    def __init__(self, output: bytes, columns: int) -> None:
        self.columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self.wrapped = 0
        """How many lines did not fit."""
        text = output.decode("utf-8", "replace")
        position = 0
        while position < len(text):
            if sequence := self._SEQUENCE.match(text, position):
                self._control(sequence[2] or "", sequence[1] or "")
                position = sequence.end()
            else:
                self._put(text[position])
                position += 1

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._rows]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n")

    def _control(self, letter: str, values: str) -> None:
        count = int(values) if values.isdecimal() else 1
        if letter == "A":
            self._row = max(0, self._row - count)
        elif letter == "B":
            self._row = min(len(self._rows) - 1, self._row + count)
        elif letter == "K":
            del self._rows[self._row][0 if values == "2" else self._column :]
        else:
            assert letter in "mhl", f"{values}{letter} would move or erase what others wrote"

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._row += 1
            if self._row == len(self._rows):
                self._rows.append([])
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character != "\x07":
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self._column + width > self.columns:
                self.wrapped += 1
                self._put("\r")
                self._put("\n")
            row = self._rows[self._row]
            row += [" "] * (self._column + width - len(row))
            row[self._column : self._column + width] = [character] + [""] * (width - 1)
            self._column += width
