"""Checks for what dead runners, a dead `up` and abandoned sandboxes left on this host.

Nothing that a running runner may own is reported: each of its sandboxes has a folder within the runner's folder,
which the runner keeps locked.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.embedded import leftovers
from agentcontainer.errors import SandboxError
from agentcontainer.file_lock import open_lock_file, try_lock
from agentcontainer.runner.cleanup import attempts, dead_runners, living_sandboxes, remove_dead_runner
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.abandoned import ABANDONED_SECONDS, abandoned, pids
from agentcontainer.sandbox.cleanup import clean_up
from agentcontainer.sandbox.limits import Hierarchy

OLD_SECONDS = 3600.0
LOOP_DEVICES = Path("/sys/block")


@dataclass(frozen=True)
class Host:
    """The subject of these checks. `removed_runners` collects the ids of dead runners whose folders were removed."""

    data_dir: Path
    hierarchy: Hierarchy
    removed_runners: list[str] = field(default_factory=list[str])
    abandoned_seconds: float = ABANDONED_SECONDS

    def dead_sandboxes(self) -> list[str]:
        """The ids of sandboxes of dead runners, and of sandboxes without a runner."""
        dead = {path.name for runner in dead_runners(self.data_dir) for path in attempts(runner)}
        dead |= set(abandoned(self.hierarchy, self.abandoned_seconds))
        return sorted(dead - living_sandboxes(self.data_dir))

    def is_living(self, path: Path) -> bool:
        """Whether the path is in the folder of a running runner."""
        runners = self.data_dir / "runners"
        inside = path.relative_to(runners).parts if path.is_relative_to(runners) else ()
        return (
            bool(inside)
            and (runners / inside[0]).exists()
            and runners / inside[0] not in dead_runners(self.data_dir)
        )

    async def end(self, sandbox_id: str) -> None:
        """End a sandbox, if it is still without a running runner."""
        if sandbox_id in await asyncio.to_thread(self.dead_sandboxes):
            await clean_up([sandbox_id], self.hierarchy)


async def processes(host: Host) -> AsyncGenerator[Finding]:
    """Processes of sandboxes that outlived their runner."""
    for sandbox_id in await asyncio.to_thread(host.dead_sandboxes):
        if processes := pids(sandbox_id, host.hierarchy):
            what = f"{len(processes)} processes of a dead runner's sandbox"
            where = f"{procfs.marker(sandbox_id)} (pid {_listed(processes)})"
            yield Finding(what, where, "kill them", partial(host.end, sandbox_id))


async def control_groups(host: Host) -> AsyncGenerator[Finding]:
    """Control groups of sandboxes that outlived their runner, and of interrupted probes of this host's limits."""
    for sandbox_id in await asyncio.to_thread(host.dead_sandboxes):
        folders = [file.parent for file in host.hierarchy.group(sandbox_id).join_files if file.exists()]
        if folders:
            where = ", ".join(str(folder) for folder in folders)
            yield Finding("control group of a dead sandbox", where, "rmdir it", partial(host.end, sandbox_id))


async def mounts(host: Host) -> AsyncGenerator[Finding]:
    """Mounts in the folders of dead runners. A runner mounts in its own namespace; a mount seen here blocks removal."""
    runners_folder = host.data_dir / "runners"
    points = {Path(partition.mountpoint) for partition in psutil.disk_partitions(all=True)}
    for point in sorted(
        (point for point in points if runners_folder in point.parents), reverse=True
    ):  # the deepest first
        if not host.is_living(point):
            how = f"umount {point}"
            yield Finding(
                "mount in a dead runner's folder", str(point), how, partial(_run, "umount", "--", point)
            )


async def loop_devices(host: Host) -> AsyncGenerator[Finding]:
    """Loop devices of files in the data folder that belong to a dead runner or were deleted.

    A file that is neither here nor deleted is in another container on this host, whose data folder has the same path.
    """
    for device in sorted(LOOP_DEVICES.glob("loop*/loop/backing_file")):
        try:
            name = device.read_text().strip()
        except OSError:
            continue
        backing = Path(name.removesuffix(" (deleted)"))
        is_here = name.endswith(" (deleted)") or backing.exists()
        if host.data_dir in backing.parents and is_here and not host.is_living(backing):
            path = Path("/dev", device.parts[-3])
            where, how = f"{path} (of {backing})", f"losetup -d {path}"
            yield Finding(
                "loop device of a file in the data folder", where, how, partial(_run, "losetup", "-d", path)
            )


async def attempt_folders(host: Host) -> AsyncGenerator[Finding]:
    """Folders of dead runners, with the folders of their attempts."""

    async def remove(runner: Path) -> None:
        if await remove_dead_runner(runner):
            host.removed_runners.append(runner.name)

    for runner in dead_runners(host.data_dir):
        what = f"folder of a dead runner, with the folders of {len(attempts(runner))} attempts"
        yield Finding(what, str(runner), "remove it", partial(remove, runner))


async def database_server(host: Host) -> AsyncGenerator[Finding]:
    """Processes of an embedded PostgreSQL whose `agentcontainer up` is dead."""
    folder = host.data_dir / "postgres"

    async def clear() -> None:
        with _unowned(folder) as is_unowned:
            if is_unowned:
                await leftovers.clear(folder / "data", folder / "socket")

    with _unowned(folder) as is_unowned:
        pids_left = leftovers.server_pids(folder / "data") if is_unowned else []
    if pids_left:
        where = f"{folder / 'data'} (pid {_listed(pids_left)})"
        yield Finding("PostgreSQL server without `agentcontainer up`", where, "stop it with SIGQUIT", clear)


async def temporary_files(host: Host) -> AsyncGenerator[Finding]:
    """Files that interrupted starts of `agentcontainer up` left in the data folder."""

    async def unlink(path: Path) -> None:
        path.unlink(missing_ok=True)

    for path in sorted(host.data_dir.glob("secret_key.*")):
        if path.stat().st_mtime < time.time() - OLD_SECONDS:
            yield Finding("incomplete secret key", str(path), "remove it", partial(unlink, path))


HOST_CHECKS: tuple[Check[Host], ...] = (
    Check("processes", processes),
    Check("control groups", control_groups),
    Check("mounts", mounts),
    Check("loop devices", loop_devices),
    Check("attempt folders", attempt_folders),
    Check("database server", database_server),
    Check("temporary files", temporary_files),
)


def _listed(numbers: set[int] | list[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


@contextmanager
def _unowned(folder: Path) -> Generator[bool]:
    """Whether no process owns the PostgreSQL server of this folder; none can take it until the block ends."""
    try:
        descriptor = open_lock_file(folder / "lock", create=False)
    except FileNotFoundError:
        yield False
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


async def _run(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    if process.returncode != 0:
        raise SandboxError(stderr.decode(errors="replace").strip() or f"{command[0]} failed.")
