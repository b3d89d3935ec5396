"""Where downloads go: names that are safe on every system, and files that appear only when they are whole."""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path
from typing import BinaryIO

from agentcontainer_client._sources import OnProgress
from agentcontainer_client.errors import ChecksumMismatch

MAX_NAME_BYTES = 200
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_ON_WINDOWS = re.compile(r'[<>:"|?*]')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def safe_name(name: str, *, is_windows: bool = sys.platform == "win32") -> str:
    """The name of a file as a name in a folder of this system."""
    name = _UNSAFE.sub("_", name)
    if is_windows:
        name = _UNSAFE_ON_WINDOWS.sub("_", name).rstrip(". ")
        if _RESERVED_ON_WINDOWS.fullmatch(name):
            name = f"_{name}"
    if name.strip(". ") == "":
        name = "file"
    stem, dot, suffix = name.rpartition(".")
    while len(name.encode()) > MAX_NAME_BYTES:
        stem, dot, suffix = (
            (stem[:-1], dot, suffix) if len(stem) > 1 else (name[: MAX_NAME_BYTES // 4], "", "")
        )
        name = f"{stem}{dot}{suffix}"
    return name


def target_of(target: str | os.PathLike[str], filename: str) -> Path:
    """The path to write: a folder gets the file under its own name. A folder is one that exists or ends in a slash."""
    text = os.fspath(target)
    path = Path(text)
    if path.is_dir() or text.endswith(("/", os.sep)):
        return path / safe_name(filename)
    return path


def distinct(names: list[str]) -> list[str]:
    """The names, with ` (2)` and so on before the suffix of those that occur again, also in other letter case."""
    taken: set[str] = set()
    result: list[str] = []
    for name in names:
        path, number, candidate = Path(name), 1, name
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{path.stem} ({number}){path.suffix}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


class Receiving:
    """A file that is being written beside its target, and takes its place when it is whole."""

    def __init__(self, path: Path, on_progress: OnProgress | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.part"
        self._file: BinaryIO = self._part.open("xb")
        self._path = path
        self._on_progress = on_progress
        self._hash = hashlib.sha256()
        self.size = 0
        self.etag: str | None = None
        self.total: int | None = None

    def restart(self) -> None:
        """Begin again: the server sends the file from its start."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)
        if self._on_progress is not None:
            self._on_progress(self.size, self.total or self.size)

    def finish(self) -> Path:
        """Put the whole file in its place.

        Raises:
            ChecksumMismatch: the bytes are not those that the server stored.
        """
        self._file.close()
        digest = (self.etag or "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", digest) and digest != self._hash.hexdigest():
            raise ChecksumMismatch(f"{self._path.name} arrived damaged. Download it again.")
        self._part.replace(self._path)
        return self._path

    def discard(self) -> None:
        """Remove what was written, unless it is in its place."""
        self._file.close()
        self._part.unlink(missing_ok=True)
