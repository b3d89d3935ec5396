"""Reads the stderr of `tar --verbose`: it counts the entries and keeps the last error messages."""

import asyncio
import re

from agentcontainer.child_output import Tail
from agentcontainer.domain.files.blobs import CHUNK_BYTES
from agentcontainer.printable import printable

MAX_PATH_BYTES = 4095  # tar cannot open a longer path
MAX_REASON_CHARACTERS = 300
STDERR_BYTES = 16 * 1024
_ESCAPED = re.compile(rb"\\(?:[0-7]{3}|.)")  # how tar prints a byte that is not printable


class TarOutput:
    """tar's stderr: names of entries, each on a line that begins with `./`, and error messages."""

    def __init__(self) -> None:
        self.entries = 0
        self.has_long_path = False
        self._errors = Tail(STDERR_BYTES)

    async def listen(self, stderr: asyncio.StreamReader) -> None:
        """Read to the end of the stream."""
        rest = b""
        while chunk := await stderr.read(CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[: 4 * MAX_PATH_BYTES + 8]  # a longer line is not a path
            for line in lines:
                self._add(line)

    def _add(self, line: bytes) -> None:
        if line.startswith(b"./"):
            self.entries += 1
            if len(line) > MAX_PATH_BYTES and len(_ESCAPED.sub(b".", line)) > MAX_PATH_BYTES:
                self.has_long_path = True
        else:
            self._errors.add(line + b"\n")

    @property
    def text(self) -> str:
        """The last error messages."""
        return self._errors.text

    def reason(self, code: int) -> str:
        """The last error messages, as the end of a sentence."""
        lines = [line.removeprefix("tar: ") for line in self.text.splitlines() if line.startswith("tar: ")]
        messages = "; ".join(line for line in lines if "exit" not in line.lower() or len(lines) == 1)
        return printable(messages)[-MAX_REASON_CHARACTERS:].rstrip(".") or f"tar ended with exit code {code}"
