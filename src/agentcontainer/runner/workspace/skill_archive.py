"""Unpacks skills from untrusted zip and tar archives, below a target folder and up to a size limit.

Runs as a script in a helper sandbox, with `filenames.py` beside it and nothing else of ours. Links, devices and
paths that lead out of the target are refused. Bytes are counted while they are written, and each read of the
parser is bounded, because a header can claim any size.
"""

import contextlib
import errno
import gzip
import io
import json
import resource
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from agentcontainer.filenames import composed, filename_fault

MAX_ENTRIES = 2000
MAX_UNPACKED_BYTES = 50 * 1024**2
MAX_PATH_PARTS = 32
MAX_TAR_BYTES = MAX_UNPACKED_BYTES + MAX_ENTRIES * 4096  # including headers and padding
MAX_TAR_HEADER_BYTES = 4096
MAX_READ_BYTES = 1024**2  # in one read, such as a zip's whole directory
CHUNK_BYTES = 64 * 1024
CPU_SECONDS = 60
MEMORY_BYTES = 1024**3
NO_SPACE = 28  # the exit code when the disk is full
READY = "unpacking"
SKILL = "SKILL.md"
_IGNORED = (".DS_Store", "Thumbs.db", "desktop.ini")  # of macOS and Windows, beside `__MACOSX` and `._*`
_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar", ".skill")


class BadArchive(Exception):
    """The archive is not that of a skill. `str(error)` continues a sentence that begins with its name."""


@dataclass(frozen=True)
class _Entry:
    """A file (`content` set) or folder of an archive."""

    path: str
    content: IO[bytes] | None
    is_executable: bool = False


def install(archive: Path, filename: str, scratch: Path, target: Path) -> Path:
    """Unpack one skill into a new folder of `target`; returns the folder. After an error, nothing stays.
    Blocks.

    Raises:
        BadArchive: it is not the archive of a skill.
    """
    unpacked = scratch / "skill.unpacked"
    unpacked.mkdir()
    try:
        unpack(archive, unpacked)
        top, name = _top(unpacked, filename)
        folder = target / name
        top.rename(folder)
        return folder
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip, tar or tar.gz into the empty folder `target`. Blocks.

    Raises:
        BadArchive: it is none of them, is broken, or has an entry that is not allowed.
    """
    try:
        with archive.open("rb") as stream, contextlib.closing(_entries(stream)) as entries:
            _write(entries, target)
    except FileExistsError as error:
        raise BadArchive(f"holds {Path(str(error.filename)).name} twice") from None
    except (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise  # the platform is at fault
        raise BadArchive("is broken, or packed in a way that cannot be read") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, ArithmeticError, AssertionError) as error:
        raise BadArchive("is broken") from error


def _write(entries: Generator[_Entry], target: Path) -> None:
    left = MAX_UNPACKED_BYTES
    for number, entry in enumerate(entries):
        if number >= MAX_ENTRIES:
            raise BadArchive(f"holds more than {MAX_ENTRIES} files and folders")
        path = _below(target, entry.path)
        if path is None:
            continue
        if entry.content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while chunk := entry.content.read(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise BadArchive(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
                file.write(chunk)
        path.chmod(0o755 if entry.is_executable else 0o644)


def _below(target: Path, name: str) -> Path | None:
    """The path of an entry; None: it is not part of the skill."""
    name = name.replace("\\", "/")  # older tools on Windows write backslashes
    if name.startswith("/"):
        raise BadArchive("holds an absolute path")
    parts = [composed(part) for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        if fault := filename_fault(part):
            raise BadArchive(f"holds a file with a bad name: it {fault}")
    if len(parts) > MAX_PATH_PARTS:
        raise BadArchive(f"holds folders deeper than {MAX_PATH_PARTS}")
    if not parts or parts[0] == "__MACOSX" or parts[-1] in _IGNORED or parts[-1].startswith("._"):
        return None
    return target.joinpath(*parts)


def _top(unpacked: Path, filename: str) -> tuple[Path, str]:
    """The folder of the skill in what was unpacked, and the skill's name."""
    if (unpacked / SKILL).is_file():
        suffix = next((end for end in _SUFFIXES if filename.lower().endswith(end)), "")
        stem = filename[: len(filename) - len(suffix)].lstrip(".")  # Pi ignores hidden folders
        return unpacked, stem or "skill"
    entries = list(unpacked.iterdir())
    if len(entries) == 1 and (entries[0] / SKILL).is_file():
        return entries[0], entries[0].name.lstrip(".") or "skill"
    raise BadArchive(f"holds no {SKILL}, neither at its top nor in a single top folder")


def _entries(stream: IO[bytes]) -> Generator[_Entry]:
    head = stream.read(512)
    stream.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_entries(stream)
    if head.startswith(b"\x1f\x8b"):
        return _tar_entries(cast(IO[bytes], gzip.GzipFile(fileobj=stream)))
    if head[257:262] == b"ustar":
        return _tar_entries(stream)
    raise BadArchive("is neither a zip nor a tar or tar.gz archive")


def _zip_entries(stream: IO[bytes]) -> Generator[_Entry]:
    with zipfile.ZipFile(_Bounded(stream, None)) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = stat.S_IFMT(mode) if info.create_system == 3 else 0  # 3: made on Unix
            if info.is_dir() or info.filename.endswith("\\"):
                yield _Entry(info.filename, None)
                continue
            if kind not in (0, stat.S_IFREG):
                raise BadArchive("holds a link or a device")
            if info.flag_bits & 0x1:
                raise BadArchive("is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadArchive("uses a compression other than deflate")  # LZMA can require 4 GiB of memory
            with archive.open(info) as content:
                yield _Entry(info.filename, content, bool(mode & 0o100))


def _tar_entries(stream: IO[bytes]) -> Generator[_Entry]:
    with tarfile.open(fileobj=_Bounded(stream, MAX_TAR_BYTES), mode="r|", tarinfo=_Member) as archive:
        for member in archive:
            if member.isdir():
                yield _Entry(member.name, None)
                continue
            if not member.isreg() or member.issparse():
                raise BadArchive("holds a link, a device or a sparse file")
            content = archive.extractfile(member)
            assert content is not None
            yield _Entry(member.name, content, bool(member.mode & 0o100))


class _Member(tarfile.TarInfo):
    """A tar header. Refuses those on which tarfile would take unbounded time: it needs quadratic time for a
    long extended header, and loops on a negative size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        is_content = member.type in tarfile.REGULAR_TYPES and member.type != tarfile.GNUTYPE_SPARSE
        if member.size < 0 or (not is_content and member.size > MAX_TAR_HEADER_BYTES):
            raise BadArchive("is broken: one of its headers has an impossible size")
        return member


class _Bounded(io.RawIOBase):
    """A stream that limits the bytes of each read, and of all reads together to `total` (None: no limit)."""

    def __init__(self, stream: IO[bytes], total: int | None) -> None:
        self._stream = stream
        self._left = total

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > MAX_READ_BYTES:
            size = MAX_READ_BYTES + 1
        data = self._stream.read(size)
        if len(data) > MAX_READ_BYTES:
            raise BadArchive("is too large, or has too long a list of files")
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise BadArchive(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return data

    def seekable(self) -> bool:
        return self._stream.seekable()

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def main(folder: Path, filename: str) -> None:
    """Unpack the file `archive` of `folder` into a new folder of `folder`/skills.

    Prints `READY`, and when it is done a line of JSON: the new folder's name, or why the archive is refused.
    """
    print(READY, flush=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    target = folder / "skills"
    target.mkdir()
    try:
        answer = {"name": install(folder / "archive", filename, folder, target).name}
    except BadArchive as error:
        answer = {"fault": str(error)}
    except OSError as error:
        sys.exit(NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
