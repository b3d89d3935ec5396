"""What this host must offer, and what it had better: the kernel, programs, room on the disk, the clock.

A finding is something without which no task runs well; a notice, something that only some tasks need.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.errors import SandboxError, SettingsError
from agentcontainer.runner.workspace.safe_open import open_beneath
from agentcontainer.runtime import install
from agentcontainer.sandbox import failure, launch, seccomp
from agentcontainer.sandbox.limits import Hierarchy

NOBODY = "65534"
MIN_BWRAP = (0, 8, 0)
MIN_FREE_BYTES = 512 * 1024**2
MIN_FREE_FILES = 10_000
RELEASED_AT = 1_760_000_000.0  # no clock that is right says less
PROGRAM_SECONDS = 10.0


@dataclass(frozen=True)
class Machine:
    """What the checks of the machine look at."""

    data_dir: Path
    hierarchy: Hierarchy
    is_root: bool


@dataclass(frozen=True)
class Program:
    """A program that something needs; an `is_optional` one, only some tasks."""

    name: str
    package: str
    purpose: str
    is_optional: bool = False


PROGRAMS = (
    Program("bwrap", "bubblewrap", "every sandbox"),
    Program("setpriv", "util-linux", "sandboxes started by root, and doctor --prove"),
    Program("unshare", "util-linux", "sandboxes started by root, and doctor --prove"),
    Program("prlimit", "util-linux", "limits without control groups"),
    Program("tar", "tar", "checkpoints"),
    Program("git", "git", "input repositories", is_optional=True),
    Program("ip", "iproute2", "tasks with internet access", is_optional=True),
    Program("nsenter", "util-linux", "tasks with internet access", is_optional=True),
    Program("slirp4netns", "slirp4netns", "tasks with internet access", is_optional=True),
    Program("nft", "nftables", "tasks with internet access", is_optional=True),
    Program("skopeo", "skopeo", "agents with a container image", is_optional=True),
    Program("umoci", "umoci", "agents with a container image", is_optional=True),
    Program("mkfs.ext4", "e2fsprogs", "a limit of a workspace's disk, as root", is_optional=True),
    Program("perl", "perl-base", "doctor --prove", is_optional=True),
)


async def programs(_: Machine) -> AsyncGenerator[Finding]:
    """Programs that are missing or too old."""
    for one in PROGRAMS:
        if shutil.which(one.name, path=launch.PATH) is None:
            how = f"apt install {one.package}"
            yield Finding(
                "program that is missing", f"{one.name}, for {one.purpose}", how, None, one.is_optional
            )
    if shutil.which("bwrap", path=launch.PATH) is not None:
        text = (await _run("bwrap", "--version"))[1]
        found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
        if found is None or tuple(int(part) for part in found.groups()) < MIN_BWRAP:
            wanted = ".".join(str(part) for part in MIN_BWRAP)
            yield Finding(
                "program that is too old", text.strip() or "bwrap", f"install bubblewrap {wanted} or newer"
            )


async def user_namespaces(machine: Machine) -> AsyncGenerator[Finding]:
    """Whether an ordinary user may make sandboxes: all of them are made by one."""
    if shutil.which("bwrap", path=launch.PATH) is None:
        return
    drop = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        if machine.is_root
        else []
    )
    walls = ["--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "--proc", "/proc"]
    code, text = await _run(*drop, "bwrap", *walls, "--chdir", "/", "true")
    if code != 0:
        yield Finding("sandboxes that cannot be made", text.strip()[:200], failure.explain(text))


async def kernel(machine: Machine) -> AsyncGenerator[Finding]:
    """System calls and devices."""
    try:
        seccomp.compile_filter()
    except SandboxError as error:
        yield Finding("system call filter that cannot be made", "libseccomp", str(error))
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        yield Finding(
            "kernel without system call filters", os.uname().release, "use one with CONFIG_SECCOMP_FILTER"
        )
    try:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(open_beneath(root, "usr", os.O_PATH | os.O_CLOEXEC))
        finally:
            os.close(root)
    except OSError:
        yield Finding("kernel without openat2", os.uname().release, "use Linux 5.6 or newer")
    if not Path("/dev/net/tun").exists():
        yield _notice(
            "device that is missing", "/dev/net/tun, for tasks with internet access", "modprobe tun"
        )
    if machine.is_root and not Path("/dev/loop-control").exists():
        where = "/dev/loop-control, for a limit of a workspace's disk"
        yield _notice("device that is missing", where, "modprobe loop; into a container, pass the device")


async def runtime(_: Machine) -> AsyncGenerator[Finding]:
    """What is mounted into every sandbox."""
    try:
        install.check()
    except SettingsError as error:
        yield Finding("agent runtime that is not installed", str(install.share_dir()), str(error))


async def packet_filter(_: Machine) -> AsyncGenerator[Finding]:
    """Whether rules can be made in a network namespace of one's own."""
    if shutil.which("nft", path=launch.PATH) is None:
        return
    code, text = await _run(
        "unshare", "--user", "--map-root-user", "--net", "nft", "add", "table", "inet", "probe"
    )
    if code != 0:
        where = f"nft, for tasks with internet access: {' '.join(text.split())[:150]}"
        yield _notice("packet filter that refuses rules", where, "modprobe nf_tables")


async def limits(machine: Machine) -> AsyncGenerator[Finding]:
    """What control groups this host gives us."""
    if (reason := machine.hierarchy.weak_limits_reason) is not None:
        what, _, how = reason.rpartition(". ") if ". " in reason else (reason, "", "")
        yield _notice("weak limits", what.removeprefix("WEAK LIMITS: "), how)


async def disk(machine: Machine) -> AsyncGenerator[Finding]:
    """Room where the data folder is, or would be."""
    folder = machine.data_dir
    while not folder.exists():
        folder = folder.parent
    room = os.statvfs(folder)
    if (free := room.f_bavail * room.f_frsize) < MIN_FREE_BYTES:
        where = f"{folder}: {free // 1024**2} MiB are free"
        yield Finding("disk that is nearly full", where, "make room, or move the data folder")
    if room.f_files and room.f_favail < MIN_FREE_FILES:
        where = f"{folder}: {room.f_favail} more files fit"
        yield Finding("disk that is nearly full", where, "make room, or move the data folder")


async def clock(_: Machine) -> AsyncGenerator[Finding]:
    """Whether this host's clock can be right."""
    if time.time() < RELEASED_AT:
        yield Finding("clock that is wrong", time.strftime("%Y-%m-%d %H:%M"), "set it; run an NTP client")


MACHINE_CHECKS: tuple[Check[Machine], ...] = (
    Check("programs", programs),
    Check("user namespaces", user_namespaces),
    Check("kernel", kernel),
    Check("runtime", runtime),
    Check("packet filter", packet_filter),
    Check("limits", limits),
    Check("disk", disk),
    Check("clock", clock),
)


def _notice(what: str, where: str, how: str) -> Finding:
    return Finding(what, where, how, is_notice=True)


async def _run(*command: str) -> tuple[int, str]:
    """Exit code and what it says; 127 when there is no such program, 124 when it does not end."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=launch.ENVIRONMENT,
        )
    except OSError as error:
        return 127, str(error)
    try:
        async with asyncio.timeout(PROGRAM_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"{command[0]} does not end"
    return process.returncode or 0, out.decode(errors="replace")
