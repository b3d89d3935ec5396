"""What a sandbox is: the shapes between the runner and the code that isolates.

A sandbox is one process tree (its payload, started with it) that sees its own workspace at /workspace, the
read-only runtime at /opt/agentcontainer, its Unix sockets at /run/agentcontainer, the host's /usr read-only,
and nothing else. It dies with everything in it when destroyed, and when the process that started it dies.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSIDE_WORKSPACE = "/workspace"
INSIDE_RUNTIME = "/opt/agentcontainer"
INSIDE_SOCKETS = "/run/agentcontainer"
INSIDE_GIVEN = "/given"
# Where something of ours is mounted over an image, parents first.
IMAGE_FOLDERS = (
    "dev",
    "etc",
    "opt",
    "opt/agentcontainer",
    "proc",
    "run",
    "run/agentcontainer",
    "tmp",
    "workspace",
)
IMAGE_FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/resolv.conf")
ID_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use. Bytes, counts, CPUs (1.5 is one and a half)."""

    memory_bytes: int
    pids: int
    cpus: float
    tmp_bytes: int = 256 * 1024**2
    shm_bytes: int = 64 * 1024**2
    open_files: int = 4096


def _unheard(_refused: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Internet:
    """A way to the public internet, never to the host, private or link-local addresses. `allow`: entries as in
    egress.py, and nothing else is reached; None: all that is public. `on_refused` hears, once for each, of
    `{host, port, rule}`: what was asked for (port None: its address), and the entry that would allow it."""

    allow: tuple[str, ...] | None = None
    on_refused: Callable[[dict[str, Any]], None] = field(default=_unheard, repr=False, compare=False)


@dataclass(frozen=True)
class Spec:
    """One sandbox to start. `id` matches ID_PATTERN and is new on this host. `root` is its folder on the host,
    made by the caller, holding `workspace/` (becomes /workspace, writable), unless `elsewhere` is a folder
    that does, and `sockets/` (becomes /run/agentcontainer, read-only; sockets made in it before the start can be
    connected to). As root both are handed to the sandbox's uid at the start, a workspace that is its own already
    stays as it is; `runtime` must be readable by everyone.

    A keeper sees its workspace only, neither sockets nor runtime, and is root to its own files there: it reads,
    with `is_read_only` unset also writes, what their modes keep from their owner. It has no other power.

    `internet` None: there is no network but its own loopback.

    `image` is a root folder to see instead of the host's /usr and /etc: read-only, readable by everyone, not open to
    change by anybody inside, with `IMAGE_FOLDERS` and `IMAGE_FILES` in it as real ones. `given` is a folder or file
    of the host's to see at /given, read-only; `is_on_host_network`: it reaches whatever the host reaches."""

    id: str
    root: Path
    runtime: Path
    limits: Limits
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = INSIDE_WORKSPACE
    is_helper: bool = False
    is_read_only: bool = False
    internet: Internet | None = None
    elsewhere: Path | None = None
    image: Path | None = None
    given: Path | None = None
    is_on_host_network: bool = False

    @property
    def workspace(self) -> Path:
        return self.elsewhere or self.root / "workspace"

    @property
    def sockets(self) -> Path:
        return self.root / "sockets"


@dataclass(frozen=True)
class Exit:
    """How the payload ended: its exit code (128 + N for signal N), and which limits were hit before."""

    code: int
    is_out_of_memory: bool = False
    is_out_of_processes: bool = False
