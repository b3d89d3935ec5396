"""What a crash leaves on this host, found and removed when the next runner starts.

Each runner process has a folder of its own below DATA_DIR/runners and holds a lock on it while it lives; a folder
whose lock is free belongs to a dead one.
"""

import asyncio
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentcontainer.errors import SandboxError
from agentcontainer.runner import workspace
from agentcontainer.sandbox.sweep import sweep

LOCK = "lock"


@contextmanager
def runner_folder(data_dir: Path, runner_id: str) -> Generator[Path]:
    """This runner's folder, locked for as long as the process lives; removed at an orderly end."""
    folder = data_dir / "runners" / runner_id
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _making(folder.parent):
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield folder
        (folder / LOCK).unlink()
        folder.rmdir()
    finally:
        os.close(descriptor)


async def sweep_dead_runners(data_dir: Path) -> list[str]:
    """Destroy what dead runners of this data folder left; returns their ids.

    Raises:
        SandboxError: something of theirs cannot be killed or removed.
    """
    found: list[str] = []
    parent = data_dir / "runners"
    for folder in sorted(entry for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []:
        with _making(parent):
            descriptor = _lock_of_dead(folder)
        if descriptor is None:
            continue
        try:
            attempts = [entry for entry in folder.iterdir() if entry.is_dir()]
            await sweep([attempt.name for attempt in attempts])
            for attempt in attempts:
                await workspace.remove(attempt)
            await asyncio.to_thread(_remove_emptied, folder)
            found.append(folder.name)
        finally:
            os.close(descriptor)
    return found


@contextmanager
def _making(parent: Path) -> Generator[None]:
    """Keeps a sweep from seeing a folder that is made but not yet locked."""
    descriptor = os.open(parent / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_of_dead(folder: Path) -> int | None:
    """The lock of a dead runner's folder, now ours; None while its runner lives."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_emptied(folder: Path) -> None:
    (folder / LOCK).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        raise SandboxError(
            f"The folder of the dead runner {folder.name} cannot be removed: {error.strerror}."
        ) from None
