"""Clones a task's repositories into its workspace, each with git in a sandbox of its own.

git is a large program that reads untrusted bytes. So it runs unprivileged and limited, sees neither the host
nor a network, and reaches the host of the URL through a clone proxy. A token is in a file of that sandbox,
which is removed with it; it is never in an argument, an environment variable or the clone.
"""

import asyncio
import base64
import contextlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcontainer import du
from agentcontainer.child_output import Tail
from agentcontainer.domain.tasks.repositories import BRANCHES, Repository
from agentcontainer.errors import SandboxError
from agentcontainer.printable import printable
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.clone_proxy import CloneProxy
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_GIVEN, INSIDE_RUNTIME, INSIDE_WORKSPACE, Limits, Spec
from agentcontainer.sandbox.destinations import Destinations
from agentcontainer.sandbox.http_socket import socket_folder
from agentcontainer.sandbox.volume import DiskFull

CLONE_SECONDS = 300.0
WATCH_SECONDS = 0.5
ENTRY_BYTES = 1024  # counted for each file, in addition to its content
MAX_REASON_CHARACTERS = 500
STDERR_BYTES = 16 * 1024
NOT_FOUND = 127
NO_SPACE = "No space left on device"

# Global configuration, so that nothing of it stays in the clone's own .git/config.
GIT_CONFIG = """
[http]
    proxy = socks5h://127.0.0.1:8090
    followRedirects = initial
[protocol]
    allow = never
[protocol "http"]
    allow = always
[protocol "https"]
    allow = always
[core]
    hooksPath = /dev/null
    fsmonitor = false
[submodule]
    recurse = false
[fetch]
    recurseSubmodules = false
[transfer]
    bundleURI = false
[gc]
    auto = 0
[maintenance]
    auto = false
"""
ENVIRONMENT = {
    "PATH": f"{INSIDE_RUNTIME}/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": f"{INSIDE_WORKSPACE}/gitconfig",
    "GIT_ALLOW_PROTOCOL": "http:https",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
}
CLONE = 'exec git clone --quiet --depth 1 --no-recurse-submodules --template= ${ref:+--branch "$ref"} -- "$url" clone'
INIT = 'git init --quiet --initial-branch main --template= clone; cd clone; git remote add origin "$url"; '
FETCH = f'{INIT}git fetch --quiet --depth 1 origin "$ref"; git checkout --quiet --detach FETCH_HEAD'
# For `refs/heads/NAME`: `clone --branch NAME` would also take a tag of this name.
FETCH_BRANCH = (
    f'{INIT}git fetch --quiet --depth 1 origin "+refs/heads/$ref:refs/remotes/origin/$ref"; '
    'git checkout --quiet -b "$ref" --track "origin/$ref"'
)
# The forwarder (forward.mjs) runs in this node process, which ends when git does.
START = """
const { spawn } = require("node:child_process");
const child = spawn("/bin/sh", process.argv.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
child.on("exit", (code, signal) => process.exit(signal ? 1 : code));
"""


@dataclass(frozen=True)
class Cloning:
    """What clones have in common.

    `folder`: where the folders of their sandboxes are made; `name`: the attempt's. `ca_bundle`: the file of trusted
    CAs; None: the system's.
    """

    sandboxes: Bubblewrap
    runtime: Path
    limits: Limits
    folder: Path
    name: str
    max_bytes: int
    destinations: Destinations
    ca_bundle: Path | None = None


async def place(cloning: Cloning, repositories: Sequence[Repository], target: Path) -> None:
    """Clone each repository into a new folder of `target`.

    Raises:
        InputUnavailable: one cannot be cloned. DiskFull: the workspace has no room for it.
        SandboxError: the platform failed.
    """
    existing = sorted(entry.name for entry in target.iterdir())
    names = folders.distinct_names([*existing, *(repository.name for repository in repositories)])
    for position, (name, repository) in enumerate(zip(names[len(existing) :], repositories, strict=True)):
        try:
            await _clone(cloning, f"{cloning.name}-clone-{position}", repository, target / name)
        except _CloneFailed as error:
            raise InputUnavailable(
                f"The repository {repository.name} of {repository.host} could not be cloned: {error}."
            ) from None


class _CloneFailed(Exception):
    """A clone failed; `str(error)` says why, as the end of a sentence."""


async def _clone(cloning: Cloning, sandbox_id: str, repository: Repository, target: Path) -> None:
    root = cloning.folder / sandbox_id
    scratch = target.with_name(f".clone-{secrets.token_hex(8)}")  # on the same file system, for the rename
    try:
        (root / "sockets").mkdir(parents=True)
        scratch.mkdir()
        spec = Spec(
            sandbox_id,
            root,
            cloning.runtime,
            cloning.limits,
            ENVIRONMENT,
            elsewhere=scratch,
            given=cloning.ca_bundle,
        )
        await _run_git(spec, cloning, repository)
        clone = scratch / "clone"
        if clone.is_symlink() or not clone.is_dir():
            raise _CloneFailed("git created no folder")
        clone.rename(target)
    finally:
        await folders.remove(scratch)
        await folders.remove(root)


async def _run_git(spec: Spec, cloning: Cloning, repository: Repository) -> None:
    _write_config(spec.workspace / "gitconfig", repository, has_ca_bundle=cloning.ca_bundle is not None)
    clone_proxy = CloneProxy(
        repository.host,
        repository.port,
        max_bytes=cloning.max_bytes,
        destinations=cloning.destinations,
    )
    async with contextlib.AsyncExitStack() as stack:
        sockets = stack.enter_context(socket_folder(spec.root / "sockets"))
        await clone_proxy.start(sockets / "gateway.sock")
        stack.push_async_callback(clone_proxy.close)
        sandbox = await stack.enter_async_context(cloning.sandboxes.running(spec, _argv(repository)))
        code, stderr = await _run_to_end(sandbox, spec.workspace, cloning.max_bytes)
    if clone_proxy.is_over:
        raise _too_large(cloning.max_bytes)
    if code != 0 and NO_SPACE in stderr and _is_on_volume(spec):
        raise DiskFull(
            f"The repository {repository.name} of {repository.host} is larger than the workspace may be."
        )
    if code != 0:
        raise _CloneFailed(clone_proxy.refusal or _reason(code, stderr, repository))
    await _check_size(spec.workspace, cloning.max_bytes)


def _is_on_volume(spec: Spec) -> bool:
    """Whether the workspace is a volume: if so, "disk full" concerns the volume, not the host's disk."""
    return spec.workspace.stat().st_dev != spec.root.stat().st_dev


def _write_config(path: Path, repository: Repository, *, has_ca_bundle: bool) -> None:
    path.touch(mode=0o600)
    header = ""
    if repository.token is not None:
        header = f'[http]\n    extraHeader = "Authorization: Basic {_basic(repository.token)}"\n'
    trusted = f"[http]\n    sslCAInfo = {INSIDE_GIVEN}\n" if has_ca_bundle else ""
    path.write_text(GIT_CONFIG + trusted + header)


def _basic(token: str) -> str:
    """The value of a Basic header. Most servers accept any user name with a token; `user:token` sets one."""
    pair = token if ":" in token else f"x-access-token:{token}"
    return base64.b64encode(pair.encode()).decode()


def _argv(repository: Repository) -> list[str]:
    script, ref = CLONE, repository.ref or ""
    if ref.startswith(BRANCHES):
        script, ref = FETCH_BRANCH, ref.removeprefix(BRANCHES)
    elif repository.is_commit or ref.startswith("refs/"):
        script = FETCH
    elif ref == "HEAD":
        ref = ""
    node = [f"{INSIDE_RUNTIME}/bin/node", "--import", f"{INSIDE_RUNTIME}/forward.mjs", "-e", START, "--"]
    return [*node, "-euc", f"url=$1 ref=$2; {script}", "sh", repository.url, ref]


async def _run_to_end(sandbox: Sandbox, folder: Path, max_bytes: int) -> tuple[int, str]:
    """git's exit code and the end of its error messages.

    Raises:
        _CloneFailed: it took too long or too much disk.
    """
    complaints = Tail(STDERR_BYTES)

    async def watch() -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await _check_size(folder, max_bytes)

    listening, watching = asyncio.create_task(complaints.read(sandbox.stderr)), asyncio.create_task(watch())
    exiting = asyncio.create_task(sandbox.wait())
    tasks = (listening, watching, exiting)
    try:
        await asyncio.wait((watching, exiting), timeout=CLONE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if exiting.done():
            await asyncio.wait((listening,), timeout=1)
            return exiting.result().code, complaints.text
        if watching.done():
            watching.result()
        raise _CloneFailed(f"it took longer than {CLONE_SECONDS:.0f} seconds")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _check_size(folder: Path, max_bytes: int) -> None:
    try:
        size = await du.apparent_bytes(folder) + ENTRY_BYTES * await du.entries(folder)
    except OSError as error:
        raise SandboxError("The size of a clone cannot be measured.") from error
    if size > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> _CloneFailed:
    return _CloneFailed(f"it has more than {max_bytes} bytes, the limit for a repository")


def _reason(code: int, stderr: str, repository: Repository) -> str:
    """git's error message, without secrets and without URLs."""
    if code == NOT_FOUND:
        return "this runner has no git"
    text = stderr.replace(repository.url, repository.name)
    for secret in (repository.token, repository.token and _basic(repository.token)):
        text = text.replace(secret, "…") if secret else text
    if "could not read Username" in text or "Authentication failed" in text:
        return "it does not exist, or needs a token that may read it"
    if "Remote branch " in text and " not found in upstream" in text:
        return f"it has no branch or tag {printable(repository.ref or '')}; a commit is named by its whole id"
    lines = [
        match[1]
        for line in text.splitlines()
        if (match := re.match(r"(?:fatal|error|remote): *(.*\S)", line))
    ]
    return (
        printable("; ".join(lines[-3:]))[:MAX_REASON_CHARACTERS].rstrip(".")
        or f"git ended with exit code {code}"
    )
