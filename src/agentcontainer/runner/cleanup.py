"""What a crash leaves on this host, found and removed when the next runner starts, and by those that run.

Each runner process has a folder of its own below DATA_DIR/runners and holds a lock on it while it lives; a folder
whose lock is free belongs to a dead one.
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
    """This runner's folder, locked for as long as the process lives; removed at an orderly end."""
    folder = data_dir / "runners" / runner_id
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _making(folder.parent):
        folder.mkdir(mode=0o700)
        descriptor = open_lock_file(folder / LOCK)
        assert try_lock(descriptor), "nobody else can have locked the file of a folder made just now"
    try:
        yield folder
        with _making(folder.parent):
            (folder / LOCK).unlink()
            folder.rmdir()
    finally:
        os.close(descriptor)


async def sweep_dead_runners(data_dir: Path) -> list[str]:
    """Destroy what dead runners of this data folder left; returns their ids.

    Raises:
        SandboxError: something of theirs cannot be killed or removed.
    """
    return [folder.name for folder in _folders(data_dir) if await sweep_dead_runner(folder)]


async def sweep_dead_runner(folder: Path) -> bool:
    """Destroy what the runner of this folder left; False, and nothing is touched, while it lives.

    Raises:
        SandboxError: something of it cannot be killed or removed.
    """
    with _making(folder.parent):
        descriptor = _lock_of_dead(folder)
    if descriptor is None:
        return False
    try:
        found = attempts(folder)
        await clean_up([attempt.name for attempt in found])
        for attempt in found:
            await folders.remove(attempt)
        await asyncio.to_thread(_remove_emptied, folder)
        return True
    finally:
        os.close(descriptor)


async def sweep_abandoned(data_dir: Path) -> list[str]:
    """Destroy the sandboxes whose starter is dead and of which no folder tells; returns their ids.

    Raises:
        SandboxError: one of them cannot be killed or removed.
    """
    hierarchy = await asyncio.to_thread(detect)
    found = await asyncio.to_thread(abandoned, hierarchy)
    return await clean_up(set(found) - living_sandboxes(data_dir), hierarchy)


async def sweep_forever(pool: Pool, data_dir: Path, every_seconds: float = INTERVAL_SECONDS) -> None:
    """Sweep every minute, whether the database answers or not, until cancelled: a runner that died may have no
    successor."""

    async def once() -> None:
        if swept := await sweep_dead_runners(data_dir):
            logger.info("removed what %d dead runners left", len(swept))
            await db.retry_while_unavailable(lambda: runners.stop(pool, swept))
        if found := await sweep_abandoned(data_dir):
            logger.info("removed what was left of %d sandboxes", len(found))

    expected = (SandboxError, asyncpg.PostgresError, *db.UNREACHABLE)
    await asyncio.sleep(every_seconds)
    await repeat("cleaning up this host", once, every_seconds, expected)


def dead_runners(data_dir: Path) -> list[Path]:
    """The folders of dead runners."""
    return [folder for folder in _folders(data_dir) if not _is_living(folder) and folder.exists()]


def living_sandboxes(data_dir: Path) -> set[str]:
    """Ids of all sandboxes that living runners of this data folder may have: each has a folder as long as it lives."""
    return {entry.name for folder in _folders(data_dir) if _is_living(folder) for entry in attempts(folder)}


def _folders(data_dir: Path) -> list[Path]:
    parent = data_dir / "runners"
    return sorted(entry for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []


def attempts(folder: Path) -> list[Path]:
    """The folders of attempts, and of their helpers, in that of a runner; their names are those of the sandboxes."""
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except FileNotFoundError:  # its runner has just ended
        return []


def _is_living(folder: Path) -> bool:
    with _making(folder.parent):
        descriptor = _lock_of_dead(folder)
    if descriptor is None:
        return folder.exists()
    os.close(descriptor)
    return False


@contextmanager
def _making(parent: Path) -> Generator[None]:
    """Keeps a sweep from seeing a folder that is made but not yet locked."""
    with locked(parent / LOCK):
        yield


def _lock_of_dead(folder: Path) -> int | None:
    """The lock of a dead runner's folder, now ours; None while its runner lives."""
    try:
        descriptor = open_lock_file(folder / LOCK)
    except FileNotFoundError:
        return None
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _remove_emptied(folder: Path) -> None:
    try:
        with _making(folder.parent):  # or another's look at the lock would make it anew
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
    except OSError as error:
        raise SandboxError(
            f"The folder of the dead runner {folder.name} cannot be removed: {error.strerror}."
        ) from None
