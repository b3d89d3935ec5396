"""What a runner that crashed left on its host: processes that outlived it, and control groups.

uids need no sweeping: their locks ended with the runner, and whoever leases one kills what still runs as it.
"""

import asyncio
import time
from collections.abc import Iterable

import psutil

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.limits import Group, Hierarchy

KILL_SECONDS = 5.0
ABANDONED_SECONDS = 60.0  # a sandbox that is starting or ending has no process, or no parent, for a moment
REAPERS = ("systemd",)  # beside PID 1: they take in what lost its parent


async def sweep(sandbox_ids: Iterable[str], hierarchy: Hierarchy | None = None) -> list[str]:
    """Ends these sandboxes of a dead runner; returns the ids of which something was left.

    Raises:
        SandboxError: a process outlived SIGKILL, or a group could not be removed.
    """
    used = detect() if hierarchy is None else hierarchy
    return [sandbox_id for sandbox_id in sandbox_ids if await _sweep_one(sandbox_id, used.group(sandbox_id))]


def leftovers(hierarchy: Hierarchy | None = None) -> list[str]:
    """Ids of all sandboxes that have a process or a control group on this host, those of live runners too."""
    used = detect() if hierarchy is None else hierarchy
    return sorted(used.sandbox_ids() | procfs.sandbox_ids())


def abandoned(hierarchy: Hierarchy, min_age_seconds: float = ABANDONED_SECONDS) -> list[str]:
    """Ids of sandboxes, and of probes of detect.py, that no process on this host has started and still lives: only
    their group is left, or their processes have lost their parent, each that long ago at least."""
    parents = {controller.parent for controller in hierarchy.controllers}
    ids = procfs.sandbox_ids() | {folder.name for parent in parents for folder in parent.glob("*/")}
    latest = time.time() - min_age_seconds
    return sorted(one for one in ids if _is_abandoned(one, hierarchy.group(one), latest))


def pids(sandbox_id: str, hierarchy: Hierarchy) -> set[int]:
    """The processes of a sandbox, as far as the host can tell."""
    return hierarchy.group(sandbox_id).pids() | procfs.with_marker(sandbox_id)


def _is_abandoned(sandbox_id: str, group: Group, latest: float) -> bool:
    folders = [file.parent for file in group.join_files]
    try:
        living = group.pids() | procfs.with_marker(sandbox_id)
        began_at = [psutil.Process(pid).create_time() for pid in living]
        began_at += [folder.stat().st_mtime for folder in folders if folder.exists()]
        return max(began_at, default=latest) < latest and all(_is_orphan(pid, living) for pid in living)
    except (psutil.Error, OSError):  # something of it has just ended: it is being swept, or still at work
        return False


def _is_orphan(pid: int, relatives: set[int]) -> bool:
    parent = psutil.Process(pid).ppid()
    if parent in relatives or parent == 0:
        return True
    taker = psutil.Process(parent)
    argv = " ".join(taker.cmdline())
    is_starter = "agentcontainer" in argv or "python" in argv  # PID 1 of a container
    return not is_starter and (parent == 1 or taker.name() in REAPERS)


async def _sweep_one(sandbox_id: str, group: Group) -> bool:
    def find() -> set[int]:
        return group.pids() | procfs.with_marker(sandbox_id)

    has_processes = bool(await asyncio.to_thread(find))
    if has_processes:
        group.kill()
        if not await asyncio.to_thread(procfs.kill_all, find, KILL_SECONDS):
            raise SandboxError("A process of a crashed runner's sandbox could not be killed.")
    has_group = await group.remove()
    return has_processes or has_group
