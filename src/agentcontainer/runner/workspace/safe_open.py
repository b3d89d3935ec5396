"""Opening and writing in a workspace that an agent has touched, or is touching now: nothing outside of it is reached.

Any part of a path there may be a link, a FIFO or a foreign file, and become one between two calls. So the kernel
resolves every path beneath an open folder (openat2: no links, no mounts), and what is made or replaced is a single
name in an open folder. A folder may be moved while it is held open, but never out of its workspace.
"""

import asyncio
import contextlib
import ctypes
import errno
import itertools
import os
import secrets
import stat
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER = (errno.ENOTDIR, errno.ELOOP)
_TRIES = 100  # against an agent that undoes each step
_MAX_NAMES = 10_000
_MAX_NAME_BYTES = 255
_MAX_SUFFIX_BYTES = 64  # a longer one is no file type, and leaves no room for a number
_libc = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    """The agent undoes what is being written, faster than it can be. `str(error)` is a sentence."""


def open_safely(folder: int, path: str, flags: int = _READ) -> int:
    """A descriptor of `path` beneath the open folder, following no link and crossing no mount.

    Raises:
        OSError: as the kernel says; `ELOOP` for a link, `EXDEV` for a way out.
    """
    if "\0" in path:  # the kernel would read up to there, and open something else
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    how = struct.pack("QQQ", flags, 0, _RESOLVE)
    descriptor = _libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), how, len(how))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor


async def write_file(
    workspace: Path,
    path: str,
    content: bytes | AsyncIterator[bytes],
    uid: int | None = None,
    mode: int = 0o644,
) -> None:
    """Make `path`, relative to the workspace, a file of this content, in one step for whoever reads it.

    Missing folders are made. What stands in its way goes: a link, or a file where a folder must be, is removed; a
    folder where the file must be gets another name. `uid` owns what is made (None: we do).

    Raises:
        Blocked: the agent kept undoing it. OSError: the disk is full, a name is too long, …
    """
    *folders, name = _parts(path)
    with _folder(workspace, folders, uid) as folder:
        async with _written(folder, content, uid, mode) as made:
            _replace(folder, made, name)


async def place_new(
    workspace: Path,
    folder: str,
    filename: str,
    content: bytes | AsyncIterator[bytes],
    uid: int | None = None,
    mode: int = 0o644,
) -> str:
    """Add a file to `folder` (made if it is missing) and return its name: `data (2).csv` if `data.csv` is taken.
    It is there when it is whole. Nothing else is touched, but for what is no folder on the way.

    Raises:
        As `write_file`.
    """
    [filename] = _parts(filename)
    with _folder(workspace, _parts(folder), uid) as opened:
        async with _written(opened, content, uid, mode) as made:
            return _add(opened, made, filename)


def make_folder(workspace: Path, path: str, uid: int | None = None) -> None:
    """See that there is such a folder, and that its owner can enter it. Raises as `write_file`."""
    with _folder(workspace, _parts(path), uid):
        pass


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path or path.startswith("/"):
        raise ValueError("The path leads out of the workspace.")
    return parts


@contextlib.contextmanager
def _opened(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folder(workspace: Path, parts: list[str], uid: int | None) -> Generator[int]:
    """The open folder, made where it is missing."""
    workspace.chmod(workspace.stat().st_mode | stat.S_IRWXU)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_opened(os.open(workspace, _FOLDER)))
        try:
            for part in parts:
                folder = stack.enter_context(_opened(_enter(folder, part, uid)))
            yield folder
        except FileNotFoundError:  # a folder or a file that we had just made
            raise _blocked() from None


def _enter(folder: int, name: str, uid: int | None) -> int:
    """The folder `name` of `folder`, whatever is there now."""
    is_made = False
    for _ in range(_TRIES):
        try:
            _open_up(folder, name)
            opened = open_safely(folder, name, _FOLDER)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder)
                is_made = True
        except OSError as error:
            if error.errno not in _NOT_A_FOLDER:
                raise
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder)
        else:
            if is_made and uid is not None:
                os.fchown(opened, uid, uid)
            return opened
    raise _blocked()


def _open_up(folder: int, name: str) -> None:
    """A folder that the agent closed to itself is opened: to us, if we are no root, and to its next container."""
    with _opened(open_safely(folder, name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as found:
        mode = stat.S_IMODE(os.fstat(found).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{found}", mode | stat.S_IRWXU)  # noqa: PTH101 - what is open


@contextlib.asynccontextmanager
async def _written(
    folder: int, content: bytes | AsyncIterator[bytes], uid: int | None, mode: int
) -> AsyncGenerator[str]:
    """A whole new file in the folder, under a name that it loses at the end."""
    name = f".agentcontainer-{secrets.token_hex(8)}"
    with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as file:
        try:
            if isinstance(content, bytes):
                file.write(content)
            else:
                async for chunk in content:
                    await asyncio.to_thread(file.write, chunk)
            file.flush()
            if uid is not None:
                os.fchown(file.fileno(), uid, uid)
            os.fchmod(file.fileno(), mode)
            yield name
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _replace(folder: int, made: str, name: str) -> None:
    for _ in range(_TRIES):
        try:
            os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        except IsADirectoryError:
            _move_aside(folder, name)
    raise _blocked()


def _move_aside(folder: int, name: str) -> None:
    for other in itertools.islice(names_like(name), 1, _TRIES):
        try:
            os.mkdir(other, 0o700, dir_fd=folder)
        except FileExistsError:
            continue
        try:
            os.rename(name, other, src_dir_fd=folder, dst_dir_fd=folder)  # takes the place of an empty folder
        except OSError:  # it is no folder any more
            with contextlib.suppress(OSError):
                os.rmdir(other, dir_fd=folder)
        return
    raise _blocked()


def _add(folder: int, made: str, filename: str) -> str:
    for name in itertools.islice(names_like(filename), _MAX_NAMES):
        try:
            os.link(made, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            continue
        return name
    raise _blocked()


def names_like(name: str) -> Iterator[str]:
    """`a.csv`, `a (2).csv`, `a (3).csv`, …, none longer than a name may be."""
    yield name
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    for number in itertools.count(2):
        ending = f" ({number}){suffix}"
        room = _MAX_NAME_BYTES - len(os.fsencode(ending))
        yield os.fsencode(stem)[:room].decode(errors="ignore") + ending


def _blocked() -> Blocked:
    return Blocked("A file could not be placed: the workspace was changed again and again meanwhile.")
