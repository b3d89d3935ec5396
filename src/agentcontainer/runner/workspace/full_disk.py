"""Decides when a task with a full workspace must end: when nothing was freed for some time."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from agentcontainer.sandbox import volume

POLL_SECONDS = 2.0


@dataclass
class Grace:
    """For how long a workspace has been full, since something in it was last freed."""

    seconds: float
    _since: float | None = field(default=None, init=False)
    _most_free: tuple[int, int] = field(default=(0, 0), init=False)

    def is_over(self, free: tuple[int, int], *, is_full: bool) -> bool:
        """Whether the workspace has been full for longer than allowed. `free`: bytes and files, perhaps negative."""
        if not is_full:
            self._since = None
            return False
        if self._since is None or free[0] > self._most_free[0] or free[1] > self._most_free[1]:
            self._since = time.monotonic()
            self._most_free = free
        return time.monotonic() - self._since >= self.seconds


async def wait_until_stuck(workspace: Path, grace_seconds: float) -> None:
    """Return when the volume `workspace` has been full, with nothing freed, for this time."""
    grace = Grace(grace_seconds)
    while True:
        if grace.is_over(_free(workspace), is_full=volume.is_full(workspace)):
            return
        await asyncio.sleep(POLL_SECONDS)


def _free(workspace: Path) -> tuple[int, int]:
    status = os.statvfs(workspace)
    return status.f_bavail * status.f_frsize, status.f_favail
