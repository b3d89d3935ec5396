"""What can be uploaded, read in pieces and hashed on the way, and as often as it takes."""

import hashlib
import io
import mimetypes
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast, runtime_checkable

from agentcontainer_client.errors import ConfigurationError
from agentcontainer_client.models import File, MessageFile, OutputFile

CHUNK_BYTES = 256 * 1024
SPOOLED_BYTES = 8 * 1024 * 1024

OnProgress = Callable[[int, int], None]
"""Called with the bytes sent (or received) so far, and with the size."""


@runtime_checkable
class Readable(Protocol):
    """An open binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        ...


FileInput = str | os.PathLike[str] | tuple[str, bytes | str | Readable] | Readable
"""A path, a name with content, or an open binary file."""
StoredFile = File | OutputFile | MessageFile
AnyFile = FileInput | StoredFile


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something to upload: its name, type and size, and how to open it, again for each try."""

    filename: str
    content_type: str
    size: int
    open: Callable[[], BinaryIO] = field(repr=False)
    close: Callable[[], None] = field(default=lambda: None, repr=False)


def stored_id(file: AnyFile) -> str | None:
    """The id of a file that is already stored; None: it must be uploaded. A string that looks like an id is one."""
    if isinstance(file, StoredFile):
        return file.id
    if isinstance(file, str) and re.fullmatch(r"file_[0-9A-Za-z_]+", file) and not Path(file).exists():
        return file
    return None


def source(file: FileInput, content_type: str | None = None) -> Source:
    """How to read what was given.

    Raises:
        ConfigurationError: it is no file.
    """
    if isinstance(file, tuple):
        name, content = file
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, bytes):
            return _of_bytes(name, content, content_type)
        return _of_open_file(name, content, content_type)
    if isinstance(file, str | os.PathLike):
        return _of_path(Path(file), content_type)
    name = getattr(file, "name", "")
    return _of_open_file(Path(name).name if isinstance(name, str) and name else "file", file, content_type)


def _of_path(path: Path, content_type: str | None) -> Source:
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist.")
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file. Upload a folder as an archive.")
    return Source(
        filename=path.resolve().name if path.name in {"", ".", ".."} else path.name,
        content_type=_type(path.name, content_type),
        size=path.stat().st_size,
        open=lambda: path.open("rb"),
    )


def _of_bytes(name: str, content: bytes, content_type: str | None) -> Source:
    return Source(
        filename=name,
        content_type=_type(name, content_type),
        size=len(content),
        open=lambda: io.BytesIO(content),
    )


def _of_open_file(name: str, file: Readable, content_type: str | None) -> Source:
    """An open file is read from where it is. One that cannot go back is copied to a temporary file first."""
    opened = cast("BinaryIO", file)
    if isinstance(file, io.TextIOBase):
        raise ConfigurationError(f"Open {name} in binary mode.")
    is_copy = not (hasattr(opened, "seekable") and opened.seekable())
    if is_copy:
        opened = cast("BinaryIO", tempfile.SpooledTemporaryFile(SPOOLED_BYTES))  # noqa: SIM115  (see `close`)
        while chunk := file.read(CHUNK_BYTES):
            opened.write(chunk)
        opened.seek(0)
    start = opened.tell()
    size = opened.seek(0, os.SEEK_END) - start
    opened.seek(start)

    def reopened() -> BinaryIO:
        opened.seek(start)
        return cast("BinaryIO", _Kept(opened))

    close = opened.close if is_copy else lambda: None
    return Source(
        filename=name, content_type=_type(name, content_type), size=size, open=reopened, close=close
    )


class _Kept:
    """An open file of the caller, who closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        """Leave it open."""


def _type(name: str, content_type: str | None) -> str:
    return content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"


class Reading:
    """One try to send a source: its bytes, counted and hashed."""

    def __init__(self, source: Source, on_progress: OnProgress | None) -> None:
        self._source = source
        self._on_progress = on_progress
        self._hash = hashlib.sha256()
        self.sent = 0

    @property
    def sha256(self) -> str:
        """The hash of the bytes that were read."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        self._hash = hashlib.sha256()
        self.sent = 0
        file = self._source.open()
        try:
            # A file that grows meanwhile is sent as far as its size was announced.
            while chunk := file.read(min(CHUNK_BYTES, self._source.size - self.sent)):
                self._hash.update(chunk)
                yield chunk
                self.sent += len(chunk)
                if self._on_progress is not None:
                    self._on_progress(self.sent, self._source.size)
        finally:
            file.close()
