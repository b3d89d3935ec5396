"""The folder of a lab, and the removal of what killed labs left: their folders and control groups."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from . import control_group

TOP = Path("/tmp")
PREFIX = "ac-lab-"  # followed by the lab's number, which no other lab of this machine has at the same time
LOCK = "lock"


class Reservation:
    """A number and an empty folder, until `release`."""

    def __init__(self) -> None:
        with _alone():
            remove_leftovers()
            self.number = next(number for number in count() if not (TOP / f"{PREFIX}{number}").exists())
            self.folder = TOP / f"{PREFIX}{self.number}"
            self.folder.mkdir(mode=0o711)
            self._lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def release(self) -> None:
        shutil.rmtree(self.folder)
        os.close(self._lock)


def remove_leftovers() -> None:
    """Remove what labs left whose process was killed; their processes have ended with it."""
    for folder in TOP.glob(f"{PREFIX}*"):
        if not _is_locked(folder / LOCK):
            for group in control_group.named(f"{folder.name}-"):
                group.remove()
            shutil.rmtree(folder)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


@contextmanager
def _alone() -> Generator[None]:
    """While no other process of this machine reserves a folder."""
    descriptor = os.open(TOP, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
