"""Saves and restores a workspace in real sandboxes."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt, CheckpointStore, Saved
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.cleanup import leftovers
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.limits import Hierarchy
from agentcontainer.sandbox.volume import Room, Volumes
from tests.trees import Node, lay
from tests.uids import UID_BASE

LIMITS = Limits(256 * 1024**2, 64, 2)
ENV = {"PATH": "/usr/bin:/bin"}
KEY = "checkpoints/ckp_test"


class Bed:
    """A runner's folder and store, with one workspace that one sandbox at a time uses."""

    def __init__(self, folder: Path, *, is_weak: bool = False, **limits: int) -> None:
        self.name = f"ckp-test-{secrets.token_hex(6)}"
        self.folder = folder
        self.runner = folder / "runner"
        self.root = self.runner / self.name
        (folder / "runtime").mkdir()
        hierarchy = Hierarchy() if is_weak else None
        self.sandboxes = Bubblewrap(UID_BASE if os.geteuid() == 0 else 0, folder / "locks", hierarchy)
        self.blobs = Blobs(f"file://{folder}/blobs")
        sizes = {"max_bytes": 10**9, "max_unpacked_bytes": 10**10, **limits}
        self.checkpoint_store = CheckpointStore(
            self.sandboxes, self.blobs, self.runner, LIMITS, **sizes, volumes=Volumes(Room(10**9, 10**6))
        )  # fmt: skip
        self.stack = contextlib.AsyncExitStack()
        for part in ("workspace", "sockets"):
            (self.root / part).mkdir(parents=True)

    @property
    def workspace(self) -> bytes:
        return os.fsencode(self.root / "workspace")

    async def start(self, *argv: str, lease: UidLease | None = None) -> Sandbox:
        spec = Spec(self.name, self.root, self.folder / "runtime", LIMITS, ENV, "/")
        sandbox = await self.sandboxes.start(spec, argv or ["cat"], lease)
        self.stack.push_async_callback(sandbox.destroy)
        return sandbox

    async def save(self, sandbox: Sandbox) -> Saved:
        return await self.checkpoint_store.save(sandbox, self.root, self.name, KEY)

    def checkpoint(self, saved: Saved) -> Checkpoint:
        return Checkpoint("ckp_test", KEY, saved.size_bytes, saved.sha256, saved.unpacked_bytes)

    async def restore(self, checkpoint: Checkpoint, lease: UidLease | None = None) -> None:
        """Restore into the same workspace path, as the task's next container would."""
        await folders.remove(self.root / "workspace")
        await self.checkpoint_store.restore(self.root, self.name, checkpoint, lease)

    async def store(self, content: bytes) -> Checkpoint:
        """Store these bytes as a checkpoint's archive."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        blob = await self.blobs.put(KEY, chunks(), 10**9)
        return Checkpoint("ckp_test", KEY, blob.size_bytes, blob.sha256, 10 * 1024**2)

    async def refused(self, checkpoint: Checkpoint) -> str:
        """Check that the restore fails and leaves no file; returns the reason."""
        with pytest.raises(CheckpointCorrupt) as caught:
            await self.restore(checkpoint)
        assert not (self.root / "workspace").exists()
        self.is_clean()
        return str(caught.value)

    def is_clean(self) -> None:
        assert os.listdir(self.runner) == [self.name]
        assert not [name for name in leftovers() if name.startswith(f"{self.name}-")]
        assert not procfs.with_marker(f"{self.name}-save") | procfs.with_marker(f"{self.name}-restore")

    def stored(self) -> list[Path]:
        return [path for path in (self.folder / "blobs").rglob("*") if path.is_file()]

    async def close(self) -> None:
        await self.stack.aclose()
        remaining = [name for name in leftovers() if name.startswith(self.name)]
        await folders.remove(self.folder)
        assert not remaining


@contextlib.asynccontextmanager
async def opened_bed(**options: int | bool) -> AsyncIterator[Bed]:
    bed = Bed(Path(tempfile.mkdtemp(prefix="ac-ckp-", dir="/tmp")), **options)  # type: ignore[arg-type]
    try:
        yield bed
    finally:
        await bed.close()


async def checkpoint_of_noise(bed: Bed) -> Checkpoint:
    """A checkpoint of a workspace with one file of 3 MB of random bytes."""
    sandbox = await bed.start()
    lay(bed.workspace, {b"noise": Node("file", os.urandom(3_000_000))}, sandbox.host_uid)
    saved = await bed.save(sandbox)
    await sandbox.destroy()
    return bed.checkpoint(saved)
