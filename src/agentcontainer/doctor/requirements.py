"""Checks of what a host must provide: programs, kernel features, disk space, a correct clock.

A finding affects every task, a notice only some tasks.
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
from agentcontainer.runner.workspace.safe_open import open_safely
from agentcontainer.runtime import install
from agentcontainer.sandbox import failure, launch, seccomp
from agentcontainer.sandbox.limits import Hierarchy

NOBODY = "65534"
MIN_BWRAP = (0, 8, 0)
MIN_FREE_BYTES = 512 * 1024**2
MIN_FREE_FILES = 10_000
RELEASED_AT = 1_760_000_000.0  # Unix time; a correct clock cannot show an earlier one
PROGRAM_SECONDS = 10.0


@dataclass(frozen=True)
class Machine:
    """The subject of the requirement checks."""

    data_dir: Path
    hierarchy: Hierarchy
    is_root: bool


@dataclass(frozen=True)
class Program:
    """A required program. Only some tasks need one that `is_optional`."""

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
    Program("mkfs.ext4", "e2fsprogs", "disk limits of workspaces, as root", is_optional=True),
    Program("perl", "perl-base", "doctor --prove", is_optional=True),
)


def missing_packages() -> list[str]:
    """The Debian packages of what is missing here, also of what only some tasks need."""
    packages = {
        program.package for program in PROGRAMS if shutil.which(program.name, path=launch.PATH) is None
    }
    try:
        seccomp.compile_filter()
    except SandboxError:
        packages.add("libseccomp2")
    return sorted(packages)


async def programs(_: Machine) -> AsyncGenerator[Finding]:
    """Missing and outdated programs."""
    for program in PROGRAMS:
        if shutil.which(program.name, path=launch.PATH) is None:
            how = f"apt install {program.package}"
            yield Finding(
                "missing program", f"{program.name}, for {program.purpose}", how, None, program.is_optional
            )
    if shutil.which("bwrap", path=launch.PATH) is not None:
        text = (await _run("bwrap", "--version"))[1]
        match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
        if match is None or tuple(int(part) for part in match.groups()) < MIN_BWRAP:
            minimum = ".".join(str(part) for part in MIN_BWRAP)
            yield Finding(
                "outdated program", text.strip() or "bwrap", f"install bubblewrap {minimum} or newer"
            )


async def user_namespaces(machine: Machine) -> AsyncGenerator[Finding]:
    """Whether an ordinary user may create sandboxes; root creates them as an ordinary user too."""
    if shutil.which("bwrap", path=launch.PATH) is None:
        return
    drop = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        if machine.is_root
        else []
    )
    options = [
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
    ]
    code, text = await _run(*drop, "bwrap", *options, "--chdir", "/", "true")
    if code != 0:
        yield Finding("sandboxes cannot be created", text.strip()[:200], failure.explain(text))


async def kernel(machine: Machine) -> AsyncGenerator[Finding]:
    """Required system calls and devices."""
    try:
        seccomp.compile_filter()
    except SandboxError as error:
        yield Finding("system call filter cannot be built", "libseccomp", str(error))
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        yield Finding(
            "kernel without system call filters",
            os.uname().release,
            "use a kernel with CONFIG_SECCOMP_FILTER",
        )
    try:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(open_safely(root, "usr", os.O_PATH | os.O_CLOEXEC))
        finally:
            os.close(root)
    except OSError:
        yield Finding("kernel without openat2", os.uname().release, "use Linux 5.6 or newer")
    if not Path("/dev/net/tun").exists():
        yield _notice("missing device", "/dev/net/tun, for tasks with internet access", "modprobe tun")
    if machine.is_root and not Path("/dev/loop-control").exists():
        where = "/dev/loop-control, for disk limits of workspaces"
        yield _notice(
            "missing device", where, "modprobe loop; if this is a container, pass the device into it"
        )


async def runtime(_: Machine) -> AsyncGenerator[Finding]:
    """Whether the agent runtime is installed."""
    try:
        install.check()
    except SettingsError as error:
        yield Finding("agent runtime not installed", str(install.share_dir()), str(error))


async def packet_filter(_: Machine) -> AsyncGenerator[Finding]:
    """Whether packet filter rules can be added in a new network namespace."""
    if shutil.which("nft", path=launch.PATH) is None:
        return
    code, text = await _run(
        "unshare", "--user", "--map-root-user", "--net", "nft", "add", "table", "inet", "probe"
    )
    if code != 0:
        where = f"nft, for tasks with internet access: {' '.join(text.split())[:150]}"
        yield _notice("packet filter rules refused", where, "modprobe nf_tables")


async def limits(machine: Machine) -> AsyncGenerator[Finding]:
    """Which limits this host's control groups cannot enforce."""
    if (reason := machine.hierarchy.weak_limits_reason) is not None:
        what, _, how = reason.rpartition(". ") if ". " in reason else (reason, "", "")
        yield _notice("weak limits", what.removeprefix("WEAK LIMITS: "), how)


async def disk(machine: Machine) -> AsyncGenerator[Finding]:
    """Free space and inodes where the data folder is or would be created."""
    folder = machine.data_dir
    while not folder.exists():
        folder = folder.parent
    space = os.statvfs(folder)
    if (free := space.f_bavail * space.f_frsize) < MIN_FREE_BYTES:
        where = f"{folder}: {free // 1024**2} MiB are free"
        yield Finding("disk nearly full", where, "free some space, or move the data folder")
    if space.f_files and space.f_favail < MIN_FREE_FILES:
        where = f"{folder}: {space.f_favail} more files can be created"
        yield Finding("disk nearly full", where, "free some space, or move the data folder")


async def clock(_: Machine) -> AsyncGenerator[Finding]:
    """Whether this host's clock shows a possible time."""
    if time.time() < RELEASED_AT:
        yield Finding("wrong clock", time.strftime("%Y-%m-%d %H:%M"), "set the clock, and run an NTP client")


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
    """Exit code and output; 127 if the program does not exist, 124 if it does not end in time."""
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
        return 124, f"{command[0]} did not end within {PROGRAM_SECONDS:.0f} s"
    return process.returncode or 0, out.decode(errors="replace")
