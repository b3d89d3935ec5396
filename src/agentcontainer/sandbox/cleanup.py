"""Removes what a crashed runner left of its sandboxes: processes and control groups.

Leased uids need no cleanup: their locks ended with the runner, and the next lease kills processes of that
uid.
"""

import asyncio
from collections.abc import Iterable

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.limits import Group, Hierarchy

KILL_SECONDS = 5.0


async def clean_up(sandbox_ids: Iterable[str], hierarchy: Hierarchy | None = None) -> list[str]:
    """Destroy these sandboxes of a dead runner; returns the ids of those of which something was left.

    Raises:
        SandboxError: a process outlived SIGKILL, or a group could not be removed.
    """
    used = detect() if hierarchy is None else hierarchy
    return [sandbox_id for sandbox_id in sandbox_ids if await _clean_up(sandbox_id, used.group(sandbox_id))]


def leftovers(hierarchy: Hierarchy | None = None) -> list[str]:
    """Ids of all sandboxes with a process or a control group on this host, including those of living runners."""
    used = detect() if hierarchy is None else hierarchy
    return sorted(used.sandbox_ids() | procfs.sandbox_ids())


async def _clean_up(sandbox_id: str, group: Group) -> bool:
    def find() -> set[int]:
        return group.pids() | procfs.with_marker(sandbox_id)

    has_processes = bool(await asyncio.to_thread(find))
    if has_processes:
        group.kill()
        if not await asyncio.to_thread(procfs.kill_all, find, KILL_SECONDS):
            raise SandboxError("A process of a crashed runner's sandbox could not be killed.")
    has_group = await group.remove()
    return has_processes or has_group
