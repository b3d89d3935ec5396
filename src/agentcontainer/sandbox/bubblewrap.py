"""Starts and destroys sandboxes with bubblewrap.

A start takes these steps: lease a uid, make the control group and the network, launch (launch.py), wait for
the line that reports the sandbox ready. A failed or cancelled start undoes the steps it took, in reverse
order.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import shutil
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace
from pathlib import Path

from agentcontainer.cancellation import to_its_end
from agentcontainer.child_output import read_start
from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import host_settings, launch, procfs, seccomp
from agentcontainer.sandbox.contract import Exit, Spec
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.failure import explain
from agentcontainer.sandbox.host_uids import UidLease, UidPool
from agentcontainer.sandbox.limits import Group, Hierarchy
from agentcontainer.sandbox.network import Network
from agentcontainer.sandbox.process import Process

START_SECONDS = 30.0
KILL_SECONDS = 5.0
MAX_ERROR_BYTES = 4096

logger = logging.getLogger(__name__)


class Bubblewrap:
    """Starts sandboxes on this host. If the runner is root, each gets a uid of its own, from `uid_base` on.
    All runners of the host must use the same `lock_dir`, which records the uids in use."""

    def __init__(self, uid_base: int, lock_dir: Path, hierarchy: Hierarchy | None = None) -> None:
        self._uids = UidPool(uid_base, lock_dir) if os.geteuid() == 0 else None
        self._hierarchy = detect() if hierarchy is None else hierarchy
        self._filter: bytes | None = None

    @property
    def weak_limits_reason(self) -> str | None:
        """A sentence for the operator that says which limits sandboxes lack here; None: they lack none."""
        return self._hierarchy.weak_limits_reason

    def has(self, controller: str) -> bool:
        """Whether the control group `controller` limits sandboxes here."""
        return self._hierarchy.has(controller)

    async def lease(self) -> UidLease | None:
        """A uid for several sandboxes that use the same workspace one after another; the caller releases it.
        None if we are not root: then all sandboxes run as our own uid."""
        if self._uids is None:
            return None
        leasing = asyncio.ensure_future(asyncio.to_thread(self._uids.lease))
        try:
            return await asyncio.shield(leasing)
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                (await leasing).release()
            raise

    async def start(self, spec: Spec, argv: Sequence[str], lease: UidLease | None = None) -> "Sandbox":
        """A sandbox in which `argv` is about to run, with the uid of `lease` or a new one. The caller still
        has to release `lease`. If `argv` cannot be run, the payload exits with 127 or 126.

        Raises:
            SandboxError: it could not be set up. Nothing is left of it, nor after a cancel.
        """
        starting = asyncio.ensure_future(self._start(spec, argv, lease))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                await to_its_end(_destroy_once_started(starting))
            raise

    @contextlib.asynccontextmanager
    async def running(
        self, spec: Spec, argv: Sequence[str], lease: UidLease | None = None
    ) -> AsyncGenerator["Sandbox"]:
        """As `start`, for the duration of the block: the sandbox is destroyed after it. Raises as `start` does."""
        sandbox = await self.start(spec, argv, lease)
        try:
            yield sandbox
        finally:
            await sandbox.destroy()

    async def _start(self, spec: Spec, argv: Sequence[str], shared: UidLease | None) -> "Sandbox":
        _check(spec, argv, is_root=self._uids is not None)
        if self._filter is None:
            self._filter = await asyncio.to_thread(seccomp.compile_filter)
        group = self._hierarchy.group(spec.id)
        async with contextlib.AsyncExitStack() as undo:
            lease = shared.share() if shared is not None else await self.lease()
            if lease is not None:
                undo.callback(lease.release)
            group.create(spec.limits)
            undo.push_async_callback(group.remove)
            network = None
            if spec.internet is not None:
                uid = None if lease is None else lease.uid
                network = await Network.start(
                    spec.internet, spec.id, uid, group.join_files, launch.ENVIRONMENT
                )
                undo.push_async_callback(network.close)
            process = await self._launch(spec, argv, lease, group, network)
            undo.pop_all()
        sandbox = Sandbox(spec.id, process, group, lease, network, has_own_uid=shared is None)
        try:
            await _await_ready(process)
        except BaseException:
            await sandbox.destroy()
            raise
        return sandbox

    async def _launch(
        self, spec: Spec, argv: Sequence[str], lease: UidLease | None, group: Group, network: Network | None
    ) -> Process:
        assert self._filter is not None
        uid = None if lease is None else lease.uid
        sources = launch.Sources.of(spec) if uid is None else launch.STAGED
        sources = replace(sources, settings=await asyncio.to_thread(host_settings.visible_paths))
        with contextlib.ExitStack() as stack:
            filter_fd = stack.enter_context(_memory_file(self._filter))
            files = {
                path: stack.enter_context(_memory_file(text.encode()))
                for path, text in launch.etc_files(spec).items()
            }
            options = self._options(spec, sources, filter_fd, files)
            separated = b"".join(os.fsencode(option) + b"\0" for option in options)
            arguments = stack.enter_context(_memory_file(separated))
            command = launch.launch_command(
                spec,
                uid=uid,
                is_handed_over=uid is not None and spec.workspace.stat().st_uid != uid,
                open_files=_open_files(spec.limits.open_files),
                join_files=group.join_files,
                arguments=arguments,
                network=network,
                payload=launch.payload_command(spec, argv, counts_processes=self._hierarchy.has("pids")),
            )
            passed = [arguments, filter_fd, *files.values()]
            try:
                return await Process.start(command, env=launch.ENVIRONMENT, pass_fds=passed, owner=uid)
            except OSError as error:
                raise SandboxError(f"The sandbox's first process was refused: {error.strerror}.") from error

    def _options(self, spec: Spec, sources: launch.Sources, seccomp: int, files: dict[str, int]) -> list[str]:
        """The options of bwrap. The controls of `prove/` override this and leave some out, to show what each
        does."""
        return launch.bwrap_options(spec, sources, seccomp, files)


class Sandbox:
    """A running sandbox and the streams of its payload: `stdin`, `stdout`, `stderr`."""

    def __init__(
        self,
        sandbox_id: str,
        process: Process,
        group: Group,
        lease: UidLease | None,
        network: Network | None,
        *,
        has_own_uid: bool,
    ) -> None:
        self.id = sandbox_id
        self.lease = lease
        self.host_uid = os.geteuid() if lease is None else lease.uid
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.stderr = process.stderr
        self._process = process
        self._group = group
        self._network = network
        self._has_own_uid = has_own_uid
        self._exit = asyncio.ensure_future(self._watch())
        self._destroying: asyncio.Future[None] | None = None

    @property
    def is_out_of_processes(self) -> bool:
        """Whether the process limit is reached, so that nothing more can be started inside."""
        return self._group.is_out_of_processes

    async def wait(self) -> Exit:
        """Wait until the payload ends. Processes that it leaves behind are killed."""
        return await asyncio.shield(self._exit)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncGenerator[bool]:
        """Freeze all processes inside during the block; yields False if this host cannot. `destroy` ends the
        freeze."""
        is_frozen = self._destroying is None and await self._group.freeze()
        try:
            yield is_frozen
        finally:
            self._group.thaw()

    async def destroy(self) -> None:
        """Kill all processes inside, and free the uid, the control group and the network. Idempotent. A cancel is
        raised after its end.

        Raises:
            SandboxError: a process outlived SIGKILL. The uid and group stay in use; `destroy` can be called
            again.
        """
        if self._destroying is None or (self._destroying.done() and self._destroying.exception()):
            self._destroying = asyncio.ensure_future(self._destroy())
        await to_its_end(self._destroying)

    async def network_ended(self) -> bool:
        """Wait until the sandbox loses its internet access; never returns if it has none. Returns whether
        something inside was killed for memory, which may have hit the network's process: it is in the same
        control group."""
        if self._network is None:
            await asyncio.Event().wait()
        else:
            await self._network.ended()
        return self._group.oom_kills() > 0

    async def _watch(self) -> Exit:
        code = await self._process.wait()
        group = self._group
        return Exit(code, group.oom_kills() > 0, group.refused_processes() > 0)

    async def _destroy(self) -> None:
        self._process.kill()
        self._group.kill()
        if self._network is not None:
            await self._network.close()
        await asyncio.wait([self._exit], timeout=KILL_SECONDS)
        is_clear = await asyncio.to_thread(procfs.kill_all, self._survivors, KILL_SECONDS)
        if not is_clear or not self._exit.done():
            raise SandboxError("A process of the sandbox could not be killed.")
        await self._process.close()
        await self._group.remove()
        if self.lease is not None:
            self.lease.release()

    def _survivors(self) -> set[int]:
        """Processes that outlived bwrap. Usually none: PID 1 ends with bwrap, and the kernel kills the rest.
        But while bwrap starts, there is no PID 1."""
        if self._group.is_counted:
            return self._group.pids()
        if self.lease is not None and self._has_own_uid:
            return procfs.with_uid(self.lease.uid)
        return procfs.with_marker(self.id)


async def _destroy_once_started(starting: asyncio.Future[Sandbox]) -> None:
    await (await starting).destroy()


async def _await_ready(process: Process) -> None:
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except TimeoutError as error:
        raise SandboxError(f"The sandbox was not ready after {START_SECONDS:.0f} seconds.") from error
    except ValueError:  # a line that is too long: an image's shell can print anything
        line = b""
    if line.decode(errors="replace").strip() == launch.READY:
        return
    process.kill()
    await process.wait()
    complaint = ""
    with contextlib.suppress(TimeoutError):
        complaint = (await asyncio.wait_for(read_start(process.stderr, MAX_ERROR_BYTES), 2)).decode(
            errors="replace"
        )
        logger.error("a sandbox could not be started: %s", complaint.strip())
    raise SandboxError(explain(complaint))


def _check(spec: Spec, argv: Sequence[str], *, is_root: bool) -> None:
    """Refuse values that would fail later with an unclear message, or would have an unintended effect."""
    if not argv or any("\0" in text for text in (*argv, spec.cwd, *spec.env, *spec.env.values())):
        # bwrap reads its options separated by NUL: a NUL in a value would begin another option
        raise SandboxError("A command, folder or environment of a sandbox cannot be empty or contain NUL.")
    folders = [("workspace", spec.workspace)]
    if not spec.is_helper:
        folders += [("sockets", spec.sockets), ("runtime", spec.runtime)]
    folders += [(name, spec.workspace / name) for name in spec.kept_folders]
    if spec.image is not None:
        folders += [("image", spec.image)]
    for name, path in folders:
        if path.is_symlink() or not path.is_dir():
            raise SandboxError(f"The sandbox's {name} folder does not exist.")
    root_tools = [(tool, "util-linux") for tool in ("unshare", "setpriv")] if is_root else []
    for tool, package in [("bwrap", "bubblewrap"), *root_tools]:
        if shutil.which(tool, path=launch.PATH) is None:
            raise SandboxError(f"{tool} is missing. Install it: apt install {package}")


def _open_files(maximum: int) -> int:
    """`maximum`, or our own hard limit if that is lower: an ordinary user cannot raise it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return maximum if hard == resource.RLIM_INFINITY else min(maximum, hard)


@contextlib.contextmanager
def _memory_file(content: bytes) -> Generator[int]:
    """A descriptor from which `content` can be read, with a number above those that the launcher uses itself."""
    low = os.memfd_create("agentcontainer")
    try:
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, launch.FREE_DESCRIPTORS_BELOW)
    finally:
        os.close(low)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
