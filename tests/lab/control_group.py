"""The control groups of one host of the lab: its processes are in them, and what runs on it sees them as the top."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("memory", "pids", "cpu", "freezer")
REMOVE_SECONDS = 10.0


def _hierarchies() -> list[Path]:
    if (TOP / "cgroup.controllers").exists():
        return [TOP]  # v2
    return [TOP / name for name in V1_CONTROLLERS]


@dataclass(frozen=True)
class HostGroup:
    """The groups of a host, by their common name."""

    name: str

    @property
    def folders(self) -> list[Path]:
        return [hierarchy / self.name for hierarchy in _hierarchies()]

    def create(self) -> None:
        for folder in self.folders:
            (folder / "services").mkdir(parents=True)  # v2 allows no processes in a group with controllers

    @property
    def join_files(self) -> list[str]:
        """A process joins by writing its pid into these."""
        return [str(folder / "services/cgroup.procs") for folder in self.folders]

    @property
    def top_files(self) -> list[str]:
        """Joined before the host's cgroup namespace is made, because its top is the group of its creator."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    @property
    def mounts(self) -> str:
        """Shell commands that mount what the host sees, inside its cgroup namespace."""
        if _hierarchies() == [TOP]:
            return f"mount -t cgroup2 lab {TOP}"
        mounts = [
            f"mkdir {TOP}/{name}; mount -t cgroup -o {name} lab {TOP}/{name}" for name in V1_CONTROLLERS
        ]
        return "; ".join([f"mount -t tmpfs -o mode=755 lab {TOP}", *mounts])

    def freeze(self) -> None:
        """Stop every process of the host, like a virtual machine that is paused."""
        self._switch("FROZEN", "1")

    def thaw(self) -> None:
        self._switch("THAWED", "0")

    def _switch(self, v1: str, v2: str) -> None:
        for folder in self.folders:
            for file, value in (("freezer.state", v1), ("cgroup.freeze", v2)):
                if (folder / file).exists():
                    (folder / file).write_text(value)

    def sandboxes(self) -> list[Path]:
        """The groups of the sandboxes on this host, in one hierarchy; the name is `TASK_ID-ATTEMPT`."""
        pids = next(folder for folder in self.folders if folder.parent.name in ("pids", TOP.name))
        return list((pids / "agentcontainer").glob("*/"))

    def remove(self) -> None:
        """Remove the groups when their last process has ended. Does nothing if there are none."""
        deadline = time.monotonic() + REMOVE_SECONDS
        for folder in self.folders:
            while folder.exists():
                for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
                    with contextlib.suppress(OSError):
                        path.rmdir()
                with contextlib.suppress(OSError):
                    folder.rmdir()
                assert time.monotonic() < deadline, f"{folder} is in use"
                time.sleep(0.01)


def named(prefix: str) -> list[HostGroup]:
    """The groups of hosts whose names begin with `prefix`."""
    return [
        HostGroup(name) for name in {path.name for top in _hierarchies() for path in top.glob(f"{prefix}*/")}
    ]
