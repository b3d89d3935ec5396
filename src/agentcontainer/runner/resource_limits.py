"""Finds out which resource limit made an agent fail, if any: memory, processes or disk."""

import signal
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner.ending import Ending
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.contract import Exit, Limits
from agentcontainer.sandbox.volume import Room

KILLED, TERMINATED = 128 + signal.SIGKILL, 128 + signal.SIGTERM
OUT_OF_MEMORY = Ending(EndReason.OUT_OF_MEMORY, "The agent used more memory than its container may.")


@dataclass(frozen=True)
class ResourceLimits:
    """The resource limits of one sandbox, and whether it is at one of them."""

    sandbox: Sandbox
    workspace: Path
    limits: Limits
    room: Room

    def limit_behind_exit(self, exit_: Exit) -> Ending | None:
        """The limit that made the agent process exit, if one did. Limits that were hit before, without making it
        exit, do not count."""
        if exit_.is_out_of_memory and exit_.code == KILLED:
            return OUT_OF_MEMORY
        if (full_disk := self._full_disk()) is not None:
            return full_disk
        if exit_.is_out_of_processes and exit_.code not in (KILLED, TERMINATED):
            return self._too_many_processes()
        return None

    def limit_blocking_progress(self) -> Ending | None:
        """Disk full, or no process left, while the agent process is alive."""
        if (full_disk := self._full_disk()) is not None:
            return full_disk
        return self._too_many_processes() if self.sandbox.is_out_of_processes else None

    def _full_disk(self) -> Ending | None:
        if not volume.is_full(self.workspace):
            return None
        return Ending(EndReason.DISK_FULL, f"The agent's disk is full: {self.room.fault}.")

    def _too_many_processes(self) -> Ending:
        return Ending(
            EndReason.TOO_MANY_PROCESSES,
            f"The agent reached the {self.limits.pids} processes and threads that its container may have.",
        )
