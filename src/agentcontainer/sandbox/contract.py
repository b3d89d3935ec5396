"""The types between the runner and the sandbox code: what a sandbox gets, and how its payload ended.

A sandbox is one process tree that starts with its payload. It sees its own workspace at /workspace, the
read-only runtime at /opt/agentcontainer, its Unix sockets at /run/agentcontainer and the host's /usr,
read-only, and nothing else. All of its processes are killed when it is destroyed, and when the process that
started it dies.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSIDE_WORKSPACE = "/workspace"
INSIDE_RUNTIME = "/opt/agentcontainer"
INSIDE_SOCKETS = "/run/agentcontainer"
INSIDE_GIVEN = "/given"
INSIDE_OUTPUT = "/tmp/command-output"  # noqa: S108 - a file system of its own
# Mount points over an image; a parent comes before the folders in it.
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
    """What one sandbox may use. `cpus` may be a fraction, such as 1.5. `output_bytes`: of the outputs of commands
    that are kept in INSIDE_OUTPUT."""

    memory_bytes: int
    pids: int
    cpus: float
    tmp_bytes: int = 256 * 1024**2
    shm_bytes: int = 64 * 1024**2
    output_bytes: int = 64 * 1024**2
    open_files: int = 4096


@dataclass(frozen=True)
class RefusedHost:
    """A host that a sandbox asked for and its allow-list does not have.

    `port` None: only the host's address was requested. `rule`: the entry that would allow it.
    """

    host: str
    port: int | None
    rule: str


def _ignore(_refused: RefusedHost) -> None:
    pass


@dataclass(frozen=True)
class Internet:
    """Access to the public internet, but never to the host, or to private or link-local addresses.

    `is_private_allowed`: the hosts of `allow` are the operator's own and may have any address, the host's too.

    `allow`: entries as in egress.py, which are all that can be reached; None: every public host. `on_refused`
    is called once for each refused host and port.
    """

    allow: tuple[str, ...] | None = None
    on_refused: Callable[[RefusedHost], None] = field(default=_ignore, repr=False, compare=False)
    is_private_allowed: bool = False


@dataclass(frozen=True)
class Spec:
    """One sandbox to start.

    `id`: matches ID_PATTERN and is not in use on this host.
    `root`: its folder on the host, made by the caller. It holds `workspace/`, which becomes /workspace, and
        `sockets/`, which becomes /run/agentcontainer, read-only; the payload can connect to sockets made there
        before the start. If the runner is root, both are given to the sandbox's uid at the start.
    `elsewhere`: the workspace, if it is not `root/workspace`.
    `runtime`: becomes /opt/agentcontainer, read-only; must be readable by everyone.
    `is_helper`: a sandbox in which we read hostile files: with tar, du, skopeo, umoci, or our Python for skills. It
        sees its workspace, but neither sockets nor runtime; git, which needs both, runs without `is_helper`. File
        modes do not restrict it within the files of its own uid; it has no other privilege.
    `is_read_only`: /workspace cannot be written.
    `internet`: None gives the sandbox its own loopback only.
    `image`: a root folder to see instead of the host's /usr and /etc, read-only. It must be readable by
        everyone, writable by nobody inside, and hold `IMAGE_FOLDERS` and `IMAGE_FILES` as real folders and files.
    `given`: a folder or file of the host that it sees at /given, read-only.
    `kept_folders`: folders in the workspace that the payload cannot remove or rename, because each is a mount of its
        own. They must exist, and must not be links.
    `is_on_host_network`: the sandbox shares the host's network.
    """

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
    kept_folders: tuple[str, ...] = ()

    @property
    def workspace(self) -> Path:
        return self.elsewhere or self.root / "workspace"

    @property
    def sockets(self) -> Path:
        return self.root / "sockets"


@dataclass(frozen=True)
class Exit:
    """How the payload ended: its exit code (128 + N for signal N), and which limits it reached before."""

    code: int
    is_out_of_memory: bool = False
    is_out_of_processes: bool = False
