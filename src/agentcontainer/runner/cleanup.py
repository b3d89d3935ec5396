"""Removes what crashed runners left on this host, when a runner starts and every minute in each runner.

Each runner process has a folder below DATA_DIR/runners and holds a lock on it while it runs. A folder whose lock is
free belongs to a dead runner.
"""

import asyncio
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import runners
from agentcontainer.errors import SandboxError
from agentcontainer.file_lock import locked, open_lock_file, try_lock
from agentcontainer.periodic import repeat
from agentcontainer.runner.workspace import folders
from agentcontainer.sandbox.abandoned import abandoned
from agentcontainer.sandbox.cleanup import clean_up
from agentcontainer.sandbox.detect import detect

LOCK = "lock"
INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


@contextmanager
def runner_folder(data_dir: Path, runner_id: str) -> Generator[Path]:
    """Create this runner's folder, locked while the process lives; remove it afterwards, unless the block raised."""
    folder = data_dir / "runners" / runner_id
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _registry_lock(folder.parent):
        folder.mkdir(mode=0o700)
        descriptor = open_lock_file(folder / LOCK)
        assert try_lock(descriptor), "the folder is new, so nobody else can hold its lock"
    try:
        yield folder
        with _registry_lock(folder.parent):
            (folder / LOCK).unlink()
            folder.rmdir()
    finally:
        os.close(descriptor)


async def remove_dead_runners(data_dir: Path) -> list[str]:
    """Remove what dead runners of this data folder left; returns their ids.

    What cannot be removed is logged and left for the next time, so that it does not prevent a runner's start.
    """
    removed: list[str] = []
    for folder in _folders(data_dir):
        try:
            if await remove_dead_runner(folder):
                removed.append(folder.name)
        except SandboxError as error:
            logger.error("what the dead runner %s left is not removed: %s", folder.name, error)
    return removed


async def remove_dead_runner(folder: Path) -> bool:
    """Remove what the runner of this folder left. If the runner is alive, return False and touch nothing.

    Raises:
        SandboxError: a process or folder of it cannot be removed.
    """
    with _registry_lock(folder.parent):
        descriptor = _take_dead_lock(folder)
    if descriptor is None:
        return False
    try:
        leftovers = attempts(folder)
        await clean_up([attempt.name for attempt in leftovers])
        for attempt in leftovers:
            await folders.remove(attempt)
        await asyncio.to_thread(_remove_folder, folder)
        return True
    finally:
        os.close(descriptor)


async def remove_abandoned_sandboxes(data_dir: Path) -> list[str]:
    """Destroy sandboxes whose runner is dead and has no folder any more; returns their ids.

    Raises:
        SandboxError: one of them cannot be killed or removed.
    """
    hierarchy = await asyncio.to_thread(detect)
    sandboxes = await asyncio.to_thread(abandoned, hierarchy)
    return await clean_up(set(sandboxes) - living_sandboxes(data_dir), hierarchy)


async def clean_up_forever(pool: Pool, data_dir: Path, every_seconds: float = INTERVAL_SECONDS) -> None:
    """Clean up every `every_seconds`, until cancelled."""

    async def once() -> None:
        if removed := await remove_dead_runners(data_dir):
            logger.info("removed what %d dead runners left", len(removed))
            await db.retry_while_unavailable(lambda: runners.stop(pool, removed))
        if sandboxes := await remove_abandoned_sandboxes(data_dir):
            logger.info("removed what was left of %d sandboxes", len(sandboxes))

    expected = (SandboxError, asyncpg.PostgresError, *db.UNREACHABLE)
    await asyncio.sleep(every_seconds)
    await repeat("cleaning up this host", once, every_seconds, expected)


def dead_runners(data_dir: Path) -> list[Path]:
    """The folders of dead runners."""
    return [folder for folder in _folders(data_dir) if not _is_living(folder) and folder.exists()]


def living_sandboxes(data_dir: Path) -> set[str]:
    """Ids of the sandboxes that living runners of this data folder may have: each has a folder while it exists."""
    return {entry.name for folder in _folders(data_dir) if _is_living(folder) for entry in attempts(folder)}


def _folders(data_dir: Path) -> list[Path]:
    parent = data_dir / "runners"
    return sorted(entry for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []


def attempts(folder: Path) -> list[Path]:
    """The folders of attempts and of helper sandboxes in a runner's folder. Each is named like its sandbox."""
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except FileNotFoundError:  # its runner has just ended
        return []


def _is_living(folder: Path) -> bool:
    with _registry_lock(folder.parent):
        descriptor = _take_dead_lock(folder)
    if descriptor is None:
        return folder.exists()
    os.close(descriptor)
    return False


@contextmanager
def _registry_lock(parent: Path) -> Generator[None]:
    """Keep others from seeing a runner's folder that is created but not locked yet."""
    with locked(parent / LOCK):
        yield


def _take_dead_lock(folder: Path) -> int | None:
    """Take the lock of a dead runner's folder; None if the runner is alive."""
    try:
        descriptor = open_lock_file(folder / LOCK)
    except FileNotFoundError:
        return None
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _remove_folder(folder: Path) -> None:
    """Remove a dead runner's folder, in which only files are left."""
    try:
        # With the lock, because another process that checks the runner's lock would create its file again.
        with _registry_lock(folder.parent):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    except OSError as error:
        raise SandboxError(
            f"The folder of the dead runner {folder.name} cannot be removed: {error.strerror}."
        ) from None
