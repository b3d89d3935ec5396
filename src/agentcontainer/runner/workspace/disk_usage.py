"""Watches what a workspace holds where no file system of its own caps it (sandbox/volume.py).

`du` reads what a hostile agent made, so it runs like tar does at a checkpoint: in a helper sandbox beneath the
workspace's uid, which sees that workspace read-only and nothing else, and what the agent closed to itself too. It
neither follows links nor recurses. Files that are deleted and still open are counted by way of /proc.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from agentcontainer import du
from agentcontainer.errors import SandboxError
from agentcontainer.runner.workspace import folders
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE, Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import Room

PAUSE_SECONDS = 1.0
MAX_SHARE = 0.1  # of the time: a large tree is looked at more seldom
MEASURE_SECONDS = 60.0  # a tree that takes longer has more entries than anybody may have
MAX_FAULTS = 3  # in a row
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
# For each line it reads, one with two numbers: bytes, files. du complains of what vanished meanwhile.
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
    """The watch over the workspace of `root`, whose sandbox has the root's name and was started with `lease`. In
    `folder`, the runner's own, its helper gets a folder by which a sweep finds it."""

    sandboxes: Bubblewrap
    limits: Limits
    room: Room
    folder: Path
    root: Path
    lease: UidLease | None

    async def run(self) -> str:
        """Watch until cancelled; returns once the workspace holds more than it may, with a sentence that says so."""
        loop, faults = asyncio.get_running_loop(), 0
        while faults < MAX_FAULTS:
            with contextlib.suppress(SandboxError):
                async with self._measuring() as helper:
                    while True:
                        began_at = loop.time()
                        if await self._is_over(helper):
                            return f"The agent's disk is full: {self.room.fault}."
                        faults = 0
                        await asyncio.sleep(max(PAUSE_SECONDS, (loop.time() - began_at) / MAX_SHARE))
            faults += 1
            await asyncio.sleep(PAUSE_SECONDS)
        return f"What the agent's disk holds could not be measured; {self.room.fault}."

    async def _is_over(self, helper: Sandbox) -> bool:
        """Raises SandboxError: it cannot be measured."""
        try:
            helper.stdin.write(b"\n")
            line = await asyncio.wait_for(helper.stdout.readline(), MEASURE_SECONDS)
        except TimeoutError:
            return True
        except (ConnectionError, ValueError):
            line = b""
        numbers = line.split()
        if len(numbers) != 2:
            raise SandboxError("What a workspace holds cannot be measured.")
        deleted = await asyncio.to_thread(procfs.deleted_bytes, self.root.name)
        return int(numbers[0]) + deleted > self.room.bytes or int(numbers[1]) > self.room.inodes

    @contextlib.asynccontextmanager
    async def _measuring(self) -> AsyncGenerator[Sandbox]:
        name = f"{self.root.name}-measure"
        folder = self.folder / name
        folder.mkdir(exist_ok=True)  # by which a sweep finds the helper
        try:
            spec = Spec(
                name, self.root, self.root, self.limits, ENVIRONMENT, "/", is_helper=True, is_read_only=True
            )  # fmt: skip
            helper = await self.sandboxes.start(spec, ("sh", "-euc", MEASURE), self.lease)
            try:
                yield helper
            finally:
                await helper.destroy()
        finally:
            await folders.remove(folder)
