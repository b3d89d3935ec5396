"""Starts sandboxes in images.

If one does not start, it finds out whether the image or this host is at fault. Images come from clients. A
broken one must not count as a failure of this host, which would pause and take no work.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web

from agentcontainer.errors import SandboxError
from agentcontainer.images.faults import ImageRefused
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_RUNTIME, Exit, Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.http_socket import SandboxSocket, socket_folder
from agentcontainer.sandbox.launch import PATH
from agentcontainer.sandbox.removal import remove

CHECK_SECONDS = 120.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")
MAX_OUTPUT_BYTES = 16 * 1024
TRIAL = (
    f"{INSIDE_RUNTIME}/bin/node", "--use-env-proxy", "--import", f"{INSIDE_RUNTIME}/forward.mjs",
    f"{INSIDE_RUNTIME}/trial.mjs",
)  # fmt: skip
SUITABLE_IMAGE = "an image based on Debian, Ubuntu or Fedora, such as python:3.12-slim"


@dataclass(frozen=True)
class Image:
    """An unpacked image: its root folder and its environment variables."""

    root: Path
    variables: Mapping[str, str]

    def env(self, platform_env: Mapping[str, str]) -> dict[str, str]:
        """The image's environment, in which `platform_env` takes precedence. PATH has our commands first, then the
        image's folders, then the usual ones that it lacks. A proxy of the image's does not apply to loopback,
        where the agent reaches the gateway."""
        own = self.variables.get("PATH", PATH).split(":")
        lacking = [folder for folder in PATH.split(":") if folder not in own]
        path = ":".join([f"{INSIDE_RUNTIME}/bin", *own, *lacking])
        return {**self.variables, **self._no_proxy(), **platform_env, "PATH": path}

    def _no_proxy(self) -> dict[str, str]:
        if not any(name.lower().endswith("_proxy") for name in self.variables):
            return {}
        named = [self.variables[name] for name in _NO_PROXY if self.variables.get(name)]
        return dict.fromkeys(_NO_PROXY, ",".join([*dict.fromkeys(named), *LOOPBACK]))


async def start(
    sandboxes: Bubblewrap, spec: Spec, argv: Sequence[str], lease: UidLease | None = None
) -> Sandbox:
    """A sandbox, in an image or not.

    Raises:
        ImageRefused: it does not start in this image, but would without. SandboxError: it would not start
        without, either.
    """
    try:
        return await sandboxes.start(spec, argv, lease)
    except SandboxError:
        if spec.image is None:
            raise
        control = await sandboxes.start(replace(spec, image=None, cwd="/"), ["true"], lease)
        await control.destroy()
        raise ImageRefused(f"has no shell that starts (/bin/sh): use {SUITABLE_IMAGE}") from None


async def check(
    sandboxes: Bubblewrap,
    image: Image,
    runtime: Path,
    limits: Limits,
    folder: Path,
    platform_env: Mapping[str, str],
) -> None:
    """Check that our runtime works in the image as it does for a task: node starts, reaches the gateway, and runs
    a command. The sandbox gets a folder in `folder`.

    Raises:
        ImageRefused: it does not work; says what kind of image to use. SandboxError: this host cannot start
        sandboxes.
    """
    name = f"image-check-{secrets.token_hex(8)}"
    root = folder / name
    try:
        for part in ("workspace", "sockets"):
            (root / part).mkdir(parents=True)
        spec = Spec(name, root, runtime, limits, image.env(platform_env), "/tmp", image=image.root)  # noqa: S108
        async with _gateway(root / "sockets"):
            stdout, stderr, ending = await _output(await start(sandboxes, spec, TRIAL))
    finally:
        await remove(root)
    if ending.code != 0 or b"trial passed" not in stdout:
        raise ImageRefused(await asyncio.to_thread(_reason, stderr.decode(errors="replace"), image.root))


async def _output(sandbox: Sandbox) -> tuple[bytes, bytes, Exit]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await asyncio.gather(
                sandbox.stdout.read(MAX_OUTPUT_BYTES), sandbox.stderr.read(MAX_OUTPUT_BYTES), sandbox.wait()
            )
    except TimeoutError:
        raise ImageRefused("has no shell or C library that starts our node in time") from None
    finally:
        await sandbox.destroy()


@contextlib.asynccontextmanager
async def _gateway(folder: Path) -> AsyncGenerator[None]:
    """Answer requests where a task's gateway does."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    socket = SandboxSocket(answer, max_connections=4, lingering_seconds=0)
    with socket_folder(folder) as short:
        await socket.open(short / "gateway.sock")
        try:
            yield
        finally:
            await socket.close()


def _reason(stderr: str, root: Path) -> str:
    if "trial: no gateway" in stderr:
        return (
            "has environment variables that keep the agent from its gateway on 127.0.0.1, such as a proxy's"
        )
    if "trial: no tool" in stderr:
        return f"has no shell that runs our commands: use {SUITABLE_IMAGE}"
    if "GLIBC_" in stderr:
        return f"has a C library (glibc) that is too old for our node, which needs 2.28: use {SUITABLE_IMAGE}"
    if "GLIBCXX_" in stderr or "CXXABI_" in stderr:
        return f"has a libstdc++ that is too old for our node: use {SUITABLE_IMAGE}"
    if "libstdc++" in stderr or "libgcc" in stderr:
        return "lacks libstdc++.so.6, which our node needs: install the package libstdc++6 in it (libstdc++ on Fedora)"
    folders = [root / "lib", root / "usr/lib"]  # a link could lead to the host's folder
    if any(list(folder.glob("ld-musl-*")) for folder in folders if folder.resolve() == folder):
        return f"is made with musl (as Alpine is), but our node needs glibc: use {SUITABLE_IMAGE}"
    if "not found" in stderr:
        return f"has no glibc, which our node needs: use {SUITABLE_IMAGE}"
    return f"does not start our node: use {SUITABLE_IMAGE}"
