"""Watches the size of a workspace that is a plain folder, not a volume with a size limit (sandbox/volume.py).

`du` reads a tree that a hostile agent made, so it runs in a helper sandbox with the workspace's uid, which
sees that workspace only, read-only, and also the folders that the agent made inaccessible. Deleted files that
are still open are counted by means of /proc.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from agentcontainer import du
from agentcontainer.errors import SandboxError
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.full_disk import Grace
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE, Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import Room

PAUSE_SECONDS = 1.0
MAX_SHARE = 0.1  # of the time spent measuring: a large tree is measured less often
MEASURE_SECONDS = 60.0  # a tree that takes longer has too many files
MAX_FAULTS = 3  # in a row
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
# Prints a line with two numbers, bytes and files, for each line it reads.
MEASURE = f"""
cd {INSIDE_WORKSPACE}
while read -r _; do
    bytes=$({du.shell("--block-size=1", ".")})
    files=$({du.shell("--inodes", ".")})
    echo "$bytes $files"
done
"""


@dataclass(frozen=True)
class DiskWatch:
    """Watches the workspace of `root`, whose sandbox has the id `root.name` and was started with `lease`.
    `folder`: the runner's own; the helper sandbox gets a folder there, by which the cleanup finds it after a
    crash. `on_full` is called when the workspace exceeds `room`. The watch ends if nothing is freed for
    `grace_seconds` after that, or at once at 125% of `room`, because nothing else stops the agent's writing."""

    sandboxes: Bubblewrap
    limits: Limits
    room: Room
    folder: Path
    root: Path
    lease: UidLease | None
    grace_seconds: float = 0.0
    on_full: Callable[[str], Awaitable[None]] | None = None

    async def run(self) -> str:
        """Watch until cancelled. If the workspace gets too large, or cannot be measured, returns a sentence
        that says so."""
        loop, faults, grace = asyncio.get_running_loop(), 0, Grace(self.grace_seconds)
        is_told = False
        while faults < MAX_FAULTS:
            with contextlib.suppress(SandboxError):
                async with self._measuring() as helper:
                    while True:
                        began_at = loop.time()
                        used = await self._used(helper)
                        is_full = used.bytes > self.room.bytes or used.inodes > self.room.inodes
                        free = self.room.bytes - used.bytes, self.room.inodes - used.inodes
                        if self._is_far_beyond(used) or grace.is_over(free, is_full=is_full):
                            return f"The agent's disk is full: {self.room.fault}."
                        if is_full and not is_told and self.on_full is not None:
                            await self.on_full(self._notice())
                        is_told, faults = is_full, 0
                        await asyncio.sleep(max(PAUSE_SECONDS, (loop.time() - began_at) / MAX_SHARE))
            faults += 1
            await asyncio.sleep(PAUSE_SECONDS)
        return f"The size of the agent's workspace could not be measured; {self.room.fault}."

    def _is_far_beyond(self, used: Room) -> bool:
        return used.bytes > self.room.bytes * 5 // 4 or used.inodes > self.room.inodes * 5 // 4

    def _notice(self) -> str:
        return (
            f"/workspace is full: {self.room.fault}. Remove what you do not need there, then go on. If nothing is "
            f"freed in {self.grace_seconds:g} seconds, or much more is written, the task fails."
        )

    async def _used(self, helper: Sandbox) -> Room:
        """The size of the workspace; a size above the limit if measuring takes too long.

        Raises:
            SandboxError: it cannot be measured.
        """
        try:
            helper.stdin.write(b"\n")
            line = await asyncio.wait_for(helper.stdout.readline(), MEASURE_SECONDS)
        except TimeoutError:
            return Room(self.room.bytes, self.room.inodes * 2)
        except (ConnectionError, ValueError):
            line = b""
        numbers = line.split()
        if len(numbers) != 2:
            raise SandboxError("The size of a workspace cannot be measured.")
        deleted = await asyncio.to_thread(procfs.deleted_bytes, self.root.name)
        return Room(int(numbers[0]) + deleted, int(numbers[1]))

    @contextlib.asynccontextmanager
    async def _measuring(self) -> AsyncGenerator[Sandbox]:
        name = f"{self.root.name}-measure"
        folder = self.folder / name
        folder.mkdir(exist_ok=True)  # the cleanup finds the helper by it
        try:
            spec = Spec(
                name, self.root, self.root, self.limits, ENVIRONMENT, "/", is_helper=True, is_read_only=True
            )  # fmt: skip
            async with self.sandboxes.running(spec, ("sh", "-euc", MEASURE), self.lease) as helper:
                yield helper
        finally:
            await folders.remove(folder)
