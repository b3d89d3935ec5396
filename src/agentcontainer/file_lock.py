"""File locks (flock).

An open descriptor holds a lock; the kernel frees it when the holder closes it or dies.
"""

import asyncio
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.1


def open_lock_file(path: Path, *, create: bool = True) -> int:
    """A descriptor of the lock file at `path`, not locked yet.

    Raises:
        OSError: it cannot be opened, is a link, or is missing and `create` is false.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    return os.open(path, flags, 0o600)


def try_lock(descriptor: int, *, is_shared: bool = False) -> bool:
    """Lock now, or return False if another descriptor holds a lock that excludes this one."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def lock(descriptor: int, *, is_shared: bool = False) -> None:
    """Lock as soon as possible. It polls, because a thread blocked in flock cannot be cancelled."""
    while not try_lock(descriptor, is_shared=is_shared):  # noqa: ASYNC110 - the kernel sends no event
        await asyncio.sleep(POLL_SECONDS)


def unlock(descriptor: int) -> None:
    """Free the lock, but keep the descriptor open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock at `path` exclusively during the block. Blocks the thread while another holds it.

    Raises:
        OSError: the lock file cannot be opened.
    """
    descriptor = open_lock_file(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def try_locked(path: Path) -> Generator[bool]:
    """Hold the lock at `path` exclusively during the block, if it is free; yields whether it is held.

    Raises:
        OSError: the lock file cannot be opened.
    """
    descriptor = open_lock_file(path)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)
