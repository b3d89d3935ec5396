"""Runs a program over an image in a keeper's sandbox, bounded in time, memory, output and disk."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.errors import SandboxError
from agentcontainer.images.faults import ImageRefused, ImageUnreachable, too_large
from agentcontainer.sandbox import launch
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.uids import Lease

LIMITS = Limits(memory_bytes=1024**3, pids=256, cpus=2.0)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/workspace", "TMPDIR": "/workspace", "LC_ALL": "C"}
STDERR_BYTES = 16 * 1024
WATCH_SECONDS = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """What a run may take. `disk_bytes`: of its workspace."""

    seconds: float
    output_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How it ended, and what it said."""

    code: int
    stdout: bytes
    stderr: str


def need(program: str) -> None:
    """Return if this host has the program.

    Raises:
        ImageUnreachable: it has not; says which package to install.
    """
    if shutil.which(program, path=launch.PATH) is None:
        raise ImageUnreachable(f"cannot be read: this host has no {program} (apt install {program})")


async def run(
    sandboxes: Bubblewrap, spec: Spec, argv: Sequence[str], bounds: Bounds, lease: Lease | None
) -> Outcome:
    """Run `argv` to its end.

    Raises:
        ImageRefused: it took more than it may. SandboxError: the platform could not try.
    """
    sandbox = await sandboxes.start(spec, argv, lease)
    try:
        async with asyncio.timeout(bounds.seconds):
            return await _watched(sandbox, spec.workspace, bounds)
    except TimeoutError:
        raise ImageRefused(f"took longer than {bounds.seconds:.0f} seconds") from None
    finally:
        await sandbox.destroy()


async def _watched(sandbox: Sandbox, folder: Path, bounds: Bounds) -> Outcome:
    sandbox.stdin.close()
    talking = asyncio.gather(_first(sandbox.stdout, bounds.output_bytes), _last(sandbox.stderr))
    watching = asyncio.create_task(_watch(folder, bounds.disk_bytes))
    exiting = asyncio.create_task(sandbox.wait())
    try:
        await asyncio.wait((watching, exiting), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        ending = await exiting
        stdout, stderr = await talking
        if stderr and ending.code != 0:
            logger.info("%s: exit code %d: %s", sandbox.id, ending.code, stderr.strip())
        if ending.is_out_of_memory:
            raise ImageRefused(f"needs more than {LIMITS.memory_bytes} bytes of memory to be read")
        return Outcome(ending.code, stdout, stderr)
    finally:
        for task in (watching, exiting, talking):
            task.cancel()
        await asyncio.gather(watching, exiting, talking, return_exceptions=True)


async def _first(stream: asyncio.StreamReader, most: int) -> bytes:
    """All of it; of more than `most` bytes, one more than that."""
    said = bytearray()
    while chunk := await stream.read(64 * 1024):
        said += chunk[: most + 1 - len(said)]
    return bytes(said)


async def _last(stream: asyncio.StreamReader) -> str:
    said = bytearray()
    while chunk := await stream.read(STDERR_BYTES):
        said += chunk
        del said[:-STDERR_BYTES]
    return said.decode(errors="replace")


async def _watch(folder: Path, most: int) -> None:
    """Never returns.

    Raises:
        ImageRefused: the folder holds more.
    """
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        process = await asyncio.create_subprocess_exec(
            "du", "--summarize", "--one-file-system", "--bytes", "--", str(folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            out, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        size = out.partition(b"\t")[0]
        if not size.isdigit():
            raise SandboxError("The size of an image cannot be measured.")
        if int(size) > most:
            raise too_large(most)
