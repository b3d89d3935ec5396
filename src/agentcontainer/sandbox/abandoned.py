"""Sandboxes that no process on this host has started and still lives. Apart from cleanup.py, since it asks psutil."""

import time

import psutil

from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.limits import Group, Hierarchy

ABANDONED_SECONDS = 60.0  # a sandbox that is starting or ending has no process, or no parent, for a moment
REAPERS = ("systemd",)  # beside PID 1: they take in what lost its parent


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
