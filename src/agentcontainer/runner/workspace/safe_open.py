"""Opens and writes files in a workspace that an agent may be changing, without reaching anything outside of
it.

Each part of a path may be a link, a FIFO or another user's file, or become one between two calls. So the
kernel resolves every path below an open folder (openat2: no links, no mounts), and files are made and
replaced by a single name in an open folder. The agent can move a folder while we hold it open, but not out of
its workspace.
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

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER = (errno.ENOTDIR, errno.ELOOP)
_TRIES = 100  # an agent may undo each step
_MAX_NAMES = 10_000
_MAX_NAME_BYTES = 255
_MAX_SUFFIX_BYTES = 64  # a longer suffix is no file type, and leaves no room for a number
_libc = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    """The agent kept changing the folder while a file was written there. `str(error)` is a sentence."""


def open_safely(folder: int, path: str, flags: int = _READ) -> int:
    """A descriptor of `path` below the open folder. Follows no link and crosses no mount.

    Raises:
        OSError: it cannot be opened: `ELOOP` for a link, `EXDEV` for a path that leads out of the folder.
    """
    if "\0" in path:  # the kernel would take the path up to the NUL only
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
    """Make `path`, relative to the workspace, a file with this content. The file appears atomically.

    Missing folders are made. A link, or a file where a folder is needed, is removed; a folder where the file
    is needed is renamed. `uid` becomes the owner of what is made (None: our own uid).

    Raises:
        Blocked: the agent kept undoing it.
        OSError: the disk is full, a name is too long, or the like.
    """
    *folders, name = _parts(path)
    with _folder(workspace, folders, uid) as folder:
        async with _written(folder, content, uid, mode) as temporary:
            _replace(folder, temporary, name)


async def place_new(
    workspace: Path,
    folder: str,
    filename: str,
    content: bytes | AsyncIterator[bytes],
    uid: int | None = None,
    mode: int = 0o644,
) -> str:
    """Add a file to `folder`, which is made if it is missing. Returns the file's name: `data (2).csv` if
    `data.csv` exists.

    The file appears atomically. Existing files are not changed, except one that stands where a folder is
    needed, which is removed. Raises as `write_file`.
    """
    [filename] = _parts(filename)
    with _folder(workspace, _parts(folder), uid) as opened:
        async with _written(opened, content, uid, mode) as temporary:
            return _add(opened, temporary, filename)


def make_folder(workspace: Path, path: str, uid: int | None = None) -> None:
    """Make the folder if it is missing, and give its owner full access to it. Raises as `write_file`."""
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
    """The open folder. Missing ones on the way are made."""
    workspace.chmod(workspace.stat().st_mode | stat.S_IRWXU)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_opened(os.open(workspace, _FOLDER)))
        try:
            for part in parts:
                folder = stack.enter_context(_opened(_enter(folder, part, uid)))
            yield folder
        except FileNotFoundError:  # the agent removed what we had just made
            raise _blocked() from None


def _enter(folder: int, name: str, uid: int | None) -> int:
    """Open the folder `name` of `folder`. It is made if it is missing; anything else of that name is removed."""
    is_new = False
    for _ in range(_TRIES):
        try:
            _make_accessible(folder, name)
            opened = open_safely(folder, name, _FOLDER)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder)
                is_new = True
        except OSError as error:
            if error.errno not in _NOT_A_FOLDER:
                raise
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder)
        else:
            if is_new and uid is not None:
                os.fchown(opened, uid, uid)
            return opened
    raise _blocked()


def _make_accessible(folder: int, name: str) -> None:
    """Give the owner full access to a folder. Without it we could not enter, unless we are root, nor could
    the agent's next container."""
    with _opened(open_safely(folder, name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as opened:
        mode = stat.S_IMODE(os.fstat(opened).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{opened}", mode | stat.S_IRWXU)  # noqa: PTH101 - a descriptor


@contextlib.asynccontextmanager
async def _written(
    folder: int, content: bytes | AsyncIterator[bytes], uid: int | None, mode: int
) -> AsyncGenerator[str]:
    """Write a new file in the folder. Yields its temporary name, which is removed at the end."""
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


def _replace(folder: int, temporary: str, name: str) -> None:
    for _ in range(_TRIES):
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
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
            os.rename(
                name, other, src_dir_fd=folder, dst_dir_fd=folder
            )  # a rename may replace an empty folder
        except OSError:  # it is not a folder any more
            with contextlib.suppress(OSError):
                os.rmdir(other, dir_fd=folder)
        return
    raise _blocked()


def _add(folder: int, temporary: str, filename: str) -> str:
    for name in itertools.islice(names_like(filename), _MAX_NAMES):
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            continue
        return name
    raise _blocked()


def names_like(name: str) -> Iterator[str]:
    """`a.csv`, `a (2).csv`, `a (3).csv`, …, none longer than 255 bytes."""
    yield name
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    for number in itertools.count(2):
        ending = f" ({number}){suffix}"
        room = _MAX_NAME_BYTES - len(os.fsencode(ending))
        yield os.fsencode(stem)[:room].decode(errors="ignore") + ending


def _blocked() -> Blocked:
    return Blocked("A file could not be written: the agent kept changing the folder meanwhile.")
