"""Removes images from the cache: those unused for too long, and the least recently used while it is too
large."""

import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.file_lock import try_locked
from agentcontainer.images.keeping import LOCKS, discard, read_record, used_at
from agentcontainer.periodic import repeat

INTERVAL_SECONDS = 300.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheLimits:
    """How long an unused image stays, and how large all images together may be."""

    seconds: float
    max_bytes: int


async def clean_forever(folder: Path, limits: CacheLimits) -> None:
    """Clean every few minutes, until cancelled."""

    async def once() -> None:
        if removed := await clean(folder, limits):
            logger.info("removed %d unused images", len(removed))

    await repeat("removing unused images", once, INTERVAL_SECONDS, (OSError,))


async def clean(folder: Path, limits: CacheLimits) -> list[str]:
    """Remove images beyond the limits, and what a killed process left half removed; returns the digests. An
    image in use stays."""
    removed: list[str] = []
    total = 0
    for last_at, key, size in sorted(_images(folder), reverse=True):
        total += size
        is_kept = last_at >= time.time() - limits.seconds and total <= limits.max_bytes
        if not is_kept and await _remove(folder, key, last_at):
            removed.append(key)
            total -= size
    return removed


def _images(folder: Path) -> Generator[tuple[float, str, int]]:
    """(time of the last use, digest, size) of each image; time and size are 0 if it is incomplete."""
    for image_folder in folder.iterdir() if folder.is_dir() else ():
        if image_folder.name != LOCKS:
            record = read_record(image_folder)
            yield used_at(image_folder), image_folder.name, 0 if record is None else record.size_bytes


async def _remove(folder: Path, key: str, last_at: float) -> bool:
    """Remove the image, unless it is in use or was used since `last_at`; returns whether it was removed."""
    with try_locked(folder / LOCKS / key) as is_locked:
        if not is_locked or used_at(folder / key) != last_at:
            return False
        await discard(folder / key)
        return True
