"""Runs a program in a helper sandbox with limits on time, memory, output and disk."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcontainer import du
from agentcontainer.child_output import Tail, keep_start
from agentcontainer.errors import SandboxError
from agentcontainer.images.faults import ImageRefused, ImageUnreachable, too_large
from agentcontainer.sandbox import launch
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease

LIMITS = Limits(memory_bytes=1024**3, pids=256, cpus=2.0)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/workspace", "TMPDIR": "/workspace", "LC_ALL": "C"}
STDERR_BYTES = 16 * 1024
WATCH_SECONDS = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """The limits of a run. `disk_bytes`: the size of its workspace."""

    seconds: float
    output_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `stdout` is one byte longer than its limit if there was more; `stderr` is the last
    part."""

    code: int
    stdout: bytes
    stderr: str


def need(program: str) -> None:
    """Return if this host has the program.

    Raises:
        ImageUnreachable: it does not; says which package to install.
    """
    if shutil.which(program, path=launch.PATH) is None:
        raise ImageUnreachable(f"cannot be read: this host has no {program} (apt install {program})")


async def run(
    sandboxes: Bubblewrap, spec: Spec, argv: Sequence[str], bounds: Bounds, lease: UidLease | None
) -> Outcome:
    """Run `argv` to its end.

    Raises:
        ImageRefused: it exceeded a limit. SandboxError: it could not be run.
    """
    async with sandboxes.running(spec, argv, lease) as sandbox:
        try:
            async with asyncio.timeout(bounds.seconds):
                return await _run_to_end(sandbox, spec.workspace, bounds)
        except TimeoutError:
            raise ImageRefused(f"took longer than {bounds.seconds:.0f} seconds") from None


async def _run_to_end(sandbox: Sandbox, folder: Path, bounds: Bounds) -> Outcome:
    sandbox.stdin.close()
    complaints = Tail(STDERR_BYTES)
    reading = asyncio.gather(
        keep_start(sandbox.stdout, bounds.output_bytes + 1), complaints.read(sandbox.stderr)
    )
    watching = asyncio.create_task(_watch_disk(folder, bounds.disk_bytes))
    exiting = asyncio.create_task(sandbox.wait())
    try:
        await asyncio.wait((watching, exiting), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        ending = await exiting
        stdout, _ = await reading
        stderr = complaints.text
        if stderr and ending.code != 0:
            logger.info("%s: exit code %d: %s", sandbox.id, ending.code, stderr.strip())
        if ending.is_out_of_memory:
            raise ImageRefused(f"needs more than {LIMITS.memory_bytes} bytes of memory to be read")
        return Outcome(ending.code, stdout, stderr)
    finally:
        for task in (watching, exiting, reading):
            task.cancel()
        await asyncio.gather(watching, exiting, reading, return_exceptions=True)


async def _watch_disk(folder: Path, max_bytes: int) -> None:
    """Measure the folder repeatedly. Never returns.

    Raises:
        ImageRefused: the folder holds more than `max_bytes`.
        SandboxError: its size cannot be measured.
    """
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            size = await du.apparent_bytes(folder)
        except OSError as error:
            raise SandboxError("The size of an image cannot be measured.") from error
        if size > max_bytes:
            raise too_large(max_bytes)
