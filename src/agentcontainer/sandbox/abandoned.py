"""Finds abandoned sandboxes: those whose starter is dead.

Needs psutil, which cleanup.py does not.
"""

import time

import psutil

from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.limits import Group, Hierarchy

ABANDONED_SECONDS = 60.0  # longer than a sandbox that starts or ends is without a process or a parent
REAPERS = ("systemd",)  # besides PID 1: they adopt orphaned processes


def abandoned(hierarchy: Hierarchy, min_age_seconds: float = ABANDONED_SECONDS) -> list[str]:
    """Ids of sandboxes, and of detect.py's probes, whose starter is dead: only a control group is left of
    them, or all of their processes are orphans. Everything left of them is older than `min_age_seconds`."""
    parents = {controller.parent for controller in hierarchy.controllers}
    ids = procfs.sandbox_ids() | {folder.name for parent in parents for folder in parent.glob("*/")}
    latest = time.time() - min_age_seconds
    return sorted(
        sandbox_id for sandbox_id in ids if _is_abandoned(sandbox_id, hierarchy.group(sandbox_id), latest)
    )


def pids(sandbox_id: str, hierarchy: Hierarchy) -> set[int]:
    """The processes of a sandbox that its control group or its marker shows."""
    return hierarchy.group(sandbox_id).pids() | procfs.with_marker(sandbox_id)


def _is_abandoned(sandbox_id: str, group: Group, latest: float) -> bool:
    folders = [file.parent for file in group.join_files]
    try:
        living = group.pids() | procfs.with_marker(sandbox_id)
        began_at = [psutil.Process(pid).create_time() for pid in living]
        began_at += [folder.stat().st_mtime for folder in folders if folder.exists()]
        return max(began_at, default=latest) < latest and all(_is_orphan(pid, living) for pid in living)
    except (psutil.Error, OSError):  # a process has just ended: the sandbox is being cleaned up, or is in use
        return False


def _is_orphan(pid: int, relatives: set[int]) -> bool:
    parent = psutil.Process(pid).ppid()
    if parent in relatives or parent == 0:
        return True
    adopter = psutil.Process(parent)
    argv = " ".join(adopter.cmdline())
    is_starter = "agentcontainer" in argv or "python" in argv  # it can be PID 1 of a container
    return not is_starter and (parent == 1 or adopter.name() in REAPERS)
