"""Finds the control groups that this process may use, by reading the mounts and by trying to join a group.

Root makes its groups at the top of each hierarchy. An ordinary user makes them in its own group, or in one
above it, if that was delegated to it (systemd does so for user sessions). A group that refuses is skipped.
"""

import contextlib
import os
import re
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentcontainer.sandbox.limits import (
    CONTROLLERS,
    OPTIONAL_CONTROLLERS,
    PROBE_PREFIX,
    Controller,
    Hierarchy,
)

PARENT = "agentcontainer"


def weak_limits_reason() -> str | None:
    """A sentence that says which limits sandboxes of this process would lack; None: they would lack none."""
    return detect().weak_limits_reason


def detect() -> Hierarchy:
    """The controllers this process may use. Makes our parent group below each."""
    is_root = os.geteuid() == 0
    mounts = read_mounts(_read(Path("/proc/self/mountinfo")))
    own = read_own_groups(_read(Path("/proc/self/cgroup")))
    controllers: dict[str, Controller] = {}
    for mount in sorted(
        mounts, key=lambda mount: mount.version
    ):  # a controller that v1 uses is not available in v2
        for base in mount.bases(own, is_root):
            names = _open_v1(mount, base) if mount.version == 1 else _open_v2(base)
            for name in names:
                controllers.setdefault(name, Controller(name, mount.version, base / PARENT))
            if names:
                break
    return Hierarchy(
        tuple(controllers[name] for name in CONTROLLERS + OPTIONAL_CONTROLLERS if name in controllers)
    )


@dataclass(frozen=True)
class Mount:
    """A mounted cgroup file system; `root` is the group that is mounted at `point`."""

    version: Literal[1, 2]
    root: str
    point: Path
    controllers: frozenset[str]

    def bases(self, own: dict[str, str], is_root: bool) -> list[Path]:
        """Groups in which ours may be made: the top one for root, else our own and those above it."""
        if is_root:
            return [self.point]
        key = "" if self.version == 2 else next((name for name in own if name in self.controllers), None)
        if key is None or key not in own or not Path(own[key]).is_relative_to(self.root):
            return []
        group = self.point / Path(own[key]).relative_to(self.root)
        above = [folder for folder in group.parents if folder.is_relative_to(self.point)]
        return [folder for folder in (group, *above) if os.access(folder / "cgroup.procs", os.W_OK)]


def read_mounts(mountinfo: str) -> list[Mount]:
    """The cgroup file systems with a controller that we use, from the text of /proc/self/mountinfo."""
    mounts: list[Mount] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        root, point = (_unescape(field) for field in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        controllers = frozenset(options.split(",")) & frozenset(CONTROLLERS + OPTIONAL_CONTROLLERS)
        if kind == "cgroup2":
            mounts.append(Mount(2, root, Path(point), frozenset()))
        elif kind == "cgroup" and controllers:
            mounts.append(Mount(1, root, Path(point), controllers))
    return mounts


def read_own_groups(cgroup: str) -> dict[str, str]:
    """Controller → group of this process, from the text of /proc/self/cgroup. The key of v2 is ""."""
    lines = [line.split(":", 2) for line in cgroup.splitlines()]
    return {name: path for _, names, path in lines for name in names.split(",")}


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _open_v1(mount: Mount, base: Path) -> frozenset[str]:
    return mount.controllers if _accepts_processes(base / PARENT) else frozenset()


def _open_v2(base: Path) -> frozenset[str]:
    if not _enable(base):
        return frozenset()
    if not _accepts_processes(base / PARENT):
        return frozenset()
    _enable(base / PARENT)
    return frozenset(_read(base / PARENT / "cgroup.subtree_control").split()) & frozenset(CONTROLLERS)


def _enable(group: Path) -> bool:
    """Enable our controllers for the group's children; False if they would have no memory limit.

    Memory goes first. A group with processes refuses it, but accepts `pids` alone and becomes threaded; after
    that, no process could join the groups below it.
    """
    control = group / "cgroup.subtree_control"
    available = _read(group / "cgroup.controllers").split()
    for name in CONTROLLERS:
        if name in available and name not in _read(control).split():
            try:
                control.write_text(f"+{name}")
            except OSError:
                if name == "memory":
                    return False
    return "memory" in _read(control).split()


def _accepts_processes(parent: Path) -> bool:
    """Whether a process of ours can join a group below `parent`: a delegation may be incomplete."""
    probe = parent / (PROBE_PREFIX + secrets.token_hex(8))
    try:
        parent.mkdir(exist_ok=True)
        probe.mkdir()
    except OSError:
        return False
    join = ["/bin/sh", "-c", 'echo $$ > "$1"', "sh", str(probe / "cgroup.procs")]
    try:
        return subprocess.run(join, stderr=subprocess.DEVNULL, check=False).returncode == 0
    finally:
        with contextlib.suppress(OSError):
            probe.rmdir()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
