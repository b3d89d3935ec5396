"""Control groups, which limit a sandbox's memory, processes and CPU, on hosts with cgroups v1, v2 or neither.

Each sandbox has the group `agentcontainer/<sandbox id>`: one in each v1 hierarchy that we use, or one in v2.
If a host does not give us a controller, it is left out, and `Hierarchy.weak_limits_reason` says so.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox.contract import ID_PATTERN, Limits

CONTROLLERS = ("memory", "pids", "cpu")  # memory first, see detect.py
OPTIONAL_CONTROLLERS = ("freezer",)  # of v1; in v2 every group can be frozen
CPU_PERIOD_MICROSECONDS = 100_000
PROBE_PREFIX = "probe-"  # of groups that detect.py makes and removes at once
MIN_CPU_QUOTA_MICROSECONDS = 1_000  # the least that the kernel accepts
REMOVE_SECONDS = 5.0
FREEZE_SECONDS = 2.0
THAW_EVERY = 50  # attempts
V1_FREEZER = "freezer.state"
FEW_PROCESSES = 4  # fewer than a shell and its child need


@dataclass(frozen=True)
class Controller:
    """A controller, and the folder in which sandboxes get their groups."""

    name: str
    version: Literal[1, 2]
    parent: Path


@dataclass(frozen=True)
class Hierarchy:
    """The controllers of this host that we may use."""

    controllers: tuple[Controller, ...] = ()

    @property
    def weak_limits_reason(self) -> str | None:
        """A sentence for the operator that says which limits sandboxes lack; None: they lack none."""
        missing = [name for name in CONTROLLERS if not self.has(name)]
        if not missing:
            return None
        return (
            f"WEAK LIMITS: this host gives us no control group for {', '.join(missing)}, so what one sandbox "
            "uses of it is not capped. Run as root, or in a delegated group (systemd: `Delegate=yes`)."
        )

    def has(self, name: str) -> bool:
        return any(controller.name == name for controller in self.controllers)

    def group(self, sandbox_id: str) -> "Group":
        """The group of this sandbox, whether or not it exists.

        Raises:
            SandboxError: `sandbox_id` is not a sandbox id.
        """
        if not ID_PATTERN.fullmatch(sandbox_id):  # it becomes part of a path
            raise SandboxError("A sandbox id has 1 to 128 letters, digits, dots, dashes and underscores.")
        return Group(sandbox_id, self.controllers)

    def sandbox_ids(self) -> set[str]:
        """Every sandbox that has a group on this host."""
        parents = {controller.parent for controller in self.controllers}
        return {folder.name for parent in parents for folder in parent.glob("*/") if _is_sandbox(folder)}


class Group:
    """The control group of one sandbox: one folder in cgroups v2, one for each controller in v1."""

    def __init__(self, sandbox_id: str, controllers: Sequence[Controller]) -> None:
        self._controllers = [(controller, controller.parent / sandbox_id) for controller in controllers]
        self._folders = list(dict.fromkeys(folder for _, folder in self._controllers))

    @property
    def is_counted(self) -> bool:
        """Whether `pids` returns the processes of the sandbox: there is at least one group."""
        return bool(self._folders)

    @property
    def join_files(self) -> list[Path]:
        """A process joins the group by writing its pid into each of these."""
        return [folder / "cgroup.procs" for folder in self._folders]

    def create(self, limits: Limits) -> None:
        """Make the group and set its limits.

        Raises:
            SandboxError: it cannot be made; nothing of it is left.
        """
        created: list[Path] = []
        try:
            for folder in self._folders:
                folder.mkdir()
                created.append(folder)
            for controller, folder in self._controllers:
                for setting in settings(controller, limits):
                    setting.write(folder)
        except BaseException as error:
            for folder in created:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if isinstance(error, FileExistsError):
                raise SandboxError("The sandbox's control group exists already.") from error
            if isinstance(error, OSError):
                raise SandboxError(f"The sandbox's control group was refused: {error.strerror}.") from error
            raise

    def pids(self) -> set[int]:
        """The processes in the group now."""
        return {int(pid) for path in self.join_files for pid in _read(path).split()}

    def oom_kills(self) -> int:
        """How many processes the memory limit killed. Read it before `remove`."""
        for controller, folder in self._controllers:
            if controller.name == "memory":
                file = "memory.oom_control" if controller.version == 1 else "memory.events"
                return _count(folder / file, "oom_kill")
        return 0

    def refused_processes(self) -> int:
        """How many processes and threads were refused at the process limit. Read it before `remove`."""
        folder = self._folder_of("pids")
        return 0 if folder is None else _count(folder / "pids.events", "max")

    @property
    def is_out_of_processes(self) -> bool:
        """Whether the number of processes and threads is at its limit, or almost."""
        folder = self._folder_of("pids")
        if folder is None:
            return False
        current, limit = (_read(folder / name).strip() for name in ("pids.current", "pids.max"))
        return current.isdigit() and limit.isdigit() and int(current) > int(limit) - FEW_PROCESSES

    def _folder_of(self, name: str) -> Path | None:
        return next((folder for controller, folder in self._controllers if controller.name == name), None)

    async def freeze(self) -> bool:
        """Freeze all processes until `thaw`; False if the host cannot: then none is frozen."""
        switch = next((switch for switch in self._freezers() if switch.exists()), None)
        if switch is None:
            return False
        deadline = asyncio.get_running_loop().time() + FREEZE_SECONDS
        is_frozen = False
        try:
            for attempt in itertools.count(1):
                _request_freeze(switch)
                is_frozen = _is_frozen(switch)
                if is_frozen or asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(0.001)
                if switch.name == V1_FREEZER and attempt % THAW_EVERY == 0:
                    # A v1 freeze may never complete while new processes keep appearing: start again.
                    self.thaw()
                    await asyncio.sleep(0.01)
        except OSError:
            pass
        finally:
            if not is_frozen:
                self.thaw()
        return is_frozen

    def thaw(self) -> None:
        """Let the processes run again. Does nothing if they run, or the group is gone."""
        for switch in self._freezers():
            with contextlib.suppress(OSError):
                switch.write_text("THAWED" if switch.name == V1_FREEZER else "0")

    def kill(self) -> None:
        """Kill all processes at once if the kernel can (v2 since Linux 5.14). Otherwise only thaw them,
        because SIGKILL does not end a process that v1 has frozen."""
        self.thaw()
        for folder in self._folders:
            switch = folder / "cgroup.kill"
            if switch.exists():
                with contextlib.suppress(OSError):
                    switch.write_text("1")

    def _freezers(self) -> Iterator[Path]:
        for controller, folder in self._controllers:
            if controller.version == 2:
                yield folder / "cgroup.freeze"
            elif controller.name == "freezer":
                yield folder / V1_FREEZER

    async def remove(self) -> bool:
        """Remove the group, waiting for its last process to end; False if there was none.

        Raises:
            SandboxError: it is still in use after `REMOVE_SECONDS`.
        """
        existing = [folder for folder in self._folders if folder.exists()]
        deadline = asyncio.get_running_loop().time() + REMOVE_SECONDS
        for folder in existing:
            while not _is_removed(folder):
                if asyncio.get_running_loop().time() > deadline:
                    raise SandboxError("The sandbox's control group is still in use: it cannot be removed.")
                await asyncio.sleep(0.01)
        return bool(existing)


@dataclass(frozen=True)
class Setting:
    """A value to write into a file of a group. `is_optional`: some kernels lack the file."""

    file: str
    value: int | str
    is_optional: bool = False

    def write(self, folder: Path) -> None:
        path = folder / self.file
        if not self.is_optional or path.exists():
            path.write_text(str(self.value))


def settings(controller: Controller, limits: Limits) -> Iterator[Setting]:
    """A controller's limits as files and values. Swap does not add to the memory limit."""
    quota = max(int(limits.cpus * CPU_PERIOD_MICROSECONDS), MIN_CPU_QUOTA_MICROSECONDS)
    match controller.name, controller.version:
        case "memory", 1:
            yield Setting("memory.limit_in_bytes", limits.memory_bytes)
            yield Setting("memory.memsw.limit_in_bytes", limits.memory_bytes, is_optional=True)
        case "memory", 2:
            yield Setting("memory.max", limits.memory_bytes)
            yield Setting("memory.swap.max", 0, is_optional=True)
        case "pids", _:
            yield Setting("pids.max", limits.pids)
        case "cpu", 1:
            yield Setting("cpu.cfs_period_us", CPU_PERIOD_MICROSECONDS)
            yield Setting("cpu.cfs_quota_us", quota)
        case "cpu", 2:
            yield Setting("cpu.max", f"{quota} {CPU_PERIOD_MICROSECONDS}")
        case _:
            pass


def _request_freeze(switch: Path) -> None:
    switch.write_text("FROZEN" if switch.name == V1_FREEZER else "1")


def _is_frozen(switch: Path) -> bool:
    if switch.name == V1_FREEZER:
        return _read(switch).strip() == "FROZEN"
    return "frozen 1" in _read(switch.parent / "cgroup.events").splitlines()


def _is_sandbox(folder: Path) -> bool:
    return not folder.name.startswith(PROBE_PREFIX)


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _count(file: Path, event: str) -> int:
    return sum(int(count) for count in re.findall(rf"^{event} (\d+)$", _read(file), re.MULTILINE))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
