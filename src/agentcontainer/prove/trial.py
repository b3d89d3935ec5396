"""One trial: a run of a payload, with its folders, its nonce and everything to clean up after it."""

import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from agentcontainer.prove.weakened import Weaken
from agentcontainer.runner.workspace import folders
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.volume import Room, Volumes

LIMITS = Limits(
    memory_bytes=192 * 1024**2,
    pids=64,
    cpus=1.0,
    tmp_bytes=8 * 1024**2,
    shm_bytes=4 * 1024**2,
    output_bytes=4 * 1024**2,
    open_files=256,
)
ROOM = Room(bytes=16 * 1024**2, inodes=256)


@dataclass(frozen=True)
class Setup:
    """What all trials share: sandboxes as they are installed here, and weakened ones for controls."""

    sandboxes: Bubblewrap
    weakened: Weaken
    runtime: Path
    volumes: Volumes
    folder: Path
    """Contains the trials' folders, named after their sandboxes; after a crash they are cleaned up like a runner's."""


@dataclass(frozen=True)
class Trial:
    """One run of the attack or of its control. `stack` is closed at its end."""

    setup: Setup
    is_control: bool
    root: Path
    nonce: str
    stack: contextlib.AsyncExitStack
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/bin:/bin"})
    notes: dict[str, int] = field(default_factory=dict[str, int])
    """Numbers that a target passes to a place or a judge."""

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def outside(self) -> Path:
        """The folder that represents the host's files."""
        return self.root / "outside"

    def spec(self, limits: Limits = LIMITS) -> Spec:
        return Spec(self.root.name, self.root, self.setup.runtime, limits, self.env)

    def path(self, inside: str, bare: Path) -> str:
        """The path as the payload sees it: `inside` in the sandbox, `bare` in a control on the host."""
        return str(bare) if self.is_control else inside


@contextlib.asynccontextmanager
async def trial(setup: Setup, is_control: bool) -> AsyncGenerator[Trial]:
    """A new trial, removed completely at the end of the block."""
    root = setup.folder / f"prove-{secrets.token_hex(8)}"
    for part in ("workspace/task", "sockets", "outside"):
        (root / part).mkdir(parents=True)
    try:
        async with contextlib.AsyncExitStack() as stack:
            yield Trial(setup, is_control, root, secrets.token_hex(16), stack)
    finally:
        await folders.remove(root)
