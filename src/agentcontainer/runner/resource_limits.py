"""Which limit of its container stands behind an agent's end, where the end itself does not say."""

import signal
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.contract import Exit, Limits
from agentcontainer.sandbox.volume import Room

KILLED, TERMINATED = 128 + signal.SIGKILL, 128 + signal.SIGTERM
OUT_OF_MEMORY = "The agent used more memory than its container may."
Cause = tuple[EndReason, str]


@dataclass(frozen=True)
class ResourceLimits:
    """The limits of one sandbox, and where it stands with them."""

    sandbox: Sandbox
    workspace: Path
    limits: Limits
    room: Room

    def limit_behind_exit(self, end: Exit) -> Cause | None:
        """The limit of which Pi died, if it was one. What an agent got over before does not count."""
        if end.is_out_of_memory and end.code == KILLED:
            return EndReason.OUT_OF_MEMORY, OUT_OF_MEMORY
        if (full := self._full_disk()) is not None:
            return full
        if end.is_out_of_processes and end.code not in (KILLED, TERMINATED):
            return self._too_many_processes()
        return None

    def limit_blocking_progress(self) -> Cause | None:
        """The limit that leaves a living agent nothing to do, if there is one."""
        if (full := self._full_disk()) is not None:
            return full
        return self._too_many_processes() if self.sandbox.is_out_of_processes else None

    def _full_disk(self) -> Cause | None:
        if not volume.is_full(self.workspace):
            return None
        return EndReason.DISK_FULL, f"The agent's disk is full: {self.room.fault}."

    def _too_many_processes(self) -> Cause:
        return (
            EndReason.TOO_MANY_PROCESSES,
            f"The agent reached the {self.limits.pids} processes and threads that its container may have.",
        )
