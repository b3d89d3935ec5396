"""Starts sandboxes for tests."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.limits import Hierarchy
from tests.uids import UID_BASE

LIMITS = Limits(memory_bytes=256 * 1024**2, pids=64, cpus=2.0, tmp_bytes=8 * 1024**2, shm_bytes=4 * 1024**2)
PATH = "/usr/bin:/bin"


@dataclass(frozen=True)
class Outcome:
    """The exit code and output of a payload."""

    code: int
    out: str
    err: str
    is_out_of_memory: bool


class Bed:
    """Folders and a driver for one test. `folder` must be private to us, as one below /root would be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandboxes = Bubblewrap(UID_BASE, folder / "locks")
        self.started: list[Sandbox] = []
        self.ids: list[str] = []
        (folder / "runtime").mkdir(mode=0o755)

    def weak(self) -> Bubblewrap:
        """A driver without control groups."""
        return Bubblewrap(UID_BASE, self.folder / "locks", Hierarchy())

    def spec(self, **changes: Any) -> Spec:
        """The specification of a new sandbox, in a new folder."""
        name = f"test-{secrets.token_hex(6)}"
        self.ids.append(name)
        root = self.folder / name
        for part in ("workspace", "sockets"):
            (root / part).mkdir(parents=True)
        return replace(Spec(name, root, self.folder / "runtime", LIMITS, {"PATH": PATH}), **changes)

    async def start(
        self, argv: Sequence[str], spec: Spec | None = None, sandboxes: Bubblewrap | None = None
    ) -> Sandbox:
        sandbox = await (sandboxes or self.sandboxes).start(spec or self.spec(), argv)
        self.started.append(sandbox)
        return sandbox

    async def run(
        self, *argv: str, stdin: bytes = b"", spec: Spec | None = None, sandboxes: Bubblewrap | None = None
    ) -> Outcome:
        """Start a sandbox, write its stdin, read its output and destroy it."""
        sandbox = await self.start(argv, spec, sandboxes)
        sandbox.stdin.write(stdin)
        sandbox.stdin.close()
        out, err = await asyncio.gather(sandbox.stdout.read(), sandbox.stderr.read())
        end = await sandbox.wait()
        await sandbox.destroy()
        return Outcome(end.code, out.decode(), err.decode(), end.is_out_of_memory)

    async def python(
        self, script: str, *argv: str, spec: Spec | None = None, sandboxes: Bubblewrap | None = None
    ) -> Outcome:
        """`run` with Debian's Python, which is visible inside because it is below /usr."""
        return await self.run("/usr/bin/python3", "-c", script, *argv, spec=spec, sandboxes=sandboxes)
