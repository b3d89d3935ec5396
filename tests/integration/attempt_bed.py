"""An attempt's folder with a server on one of its sockets, and sandboxes started in it."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from agentcontainer.runner.agent import pi_launch
from agentcontainer.runtime.install import check, runtime_dir
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import Limits, Spec
from tests.uids import UID_BASE


@contextlib.asynccontextmanager
async def attempt_folder(short_dir: Path, socket_name: str, app: web.Application) -> AsyncIterator[Path]:
    """An attempt's folder below `short_dir`; `app` answers on its socket of this name."""
    check()
    root = short_dir / "attempt"
    (root / "workspace/task").mkdir(parents=True)
    (root / "sockets").mkdir()
    server = web.AppRunner(app, shutdown_timeout=1)
    await server.setup()
    try:
        await web.UnixSite(server, str(root / "sockets" / socket_name)).start()
        yield root
    finally:
        await server.cleanup()


@contextlib.asynccontextmanager
async def sandbox_in(
    root: Path, argv: Sequence[str], *, memory_bytes: int = 512 * 1024**2, **spec: Any
) -> AsyncIterator[Sandbox]:
    """A command in a new sandbox on an attempt's folder."""
    limits = Limits(memory_bytes=memory_bytes, pids=128, cpus=2)
    spec = {"env": pi_launch.env(), "cwd": pi_launch.HOME} | spec
    name = f"tsk_{secrets.token_hex(10)}-1"
    sandbox = await Bubblewrap(UID_BASE, root.parent).start(
        Spec(name, root, runtime_dir(), limits, **spec), argv
    )
    try:
        yield sandbox
    finally:
        await sandbox.destroy()
