"""A host of the lab: its own network, processes, mounts, host name, IPC and control groups, on this machine's kernel.

Everything on it is a descendant of one process, its PID 1, which dies with the process that booted it. Its network,
mounts and processes disappear with that PID 1, however it ends.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .control_group import HostGroup

NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")
JOIN = 'for file in {files}; do echo $$ > "$file"; done; exec "$@"'
# PID 1 ignores SIGCHLD, so that the kernel reaps the orphans that it inherits.
BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 lab /run/lock
mount -t tmpfs -o mode=1777 lab /dev/shm
{setup}
{cgroups}
for file in {join_files}; do echo 1 > "$file"; done
mount --bind {hosts_file} /etc/hosts
hostname {name}
ip link set lo up
echo up
exec env --ignore-signal=CHLD sleep infinity >/dev/null
"""


class Service:
    """A program that runs on a host."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """Of the program itself, outside the host: the one child of nsenter."""
        deadline = time.monotonic() + 10
        while not (children := _children(self._process.pid)):
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        return children[0]

    def is_running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        if number == signal.SIGCONT:  # nsenter stops itself when its child is stopped
            self._process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        return self._process.wait(seconds)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        if self.is_running():
            self.send_signal(number)
        return self.wait(seconds)


class Host:
    """One host. It can be booted again after it was switched off."""

    def __init__(self, name: str, address: str, folder: Path, group_prefix: str) -> None:
        self.name = name
        self.address = address
        self._lab = folder
        self.folder = folder / name
        self.group = HostGroup(f"{group_prefix}-{name}")
        self._outer: subprocess.Popen[bytes] | None = None
        self.setup = ""  # shell commands that run on the host before anything else
        self.services: dict[str, Service] = {}

    @property
    def pid(self) -> int:
        """PID 1 of this host, as this machine numbers it."""
        assert self._outer is not None, f"{self.name} is off"
        return _children(self._outer.pid)[0]

    @property
    def is_on(self) -> bool:
        return self._outer is not None

    def boot(self) -> None:
        """Start PID 1; `wait_booted` waits for it. Call it in the main thread: PID 1 dies with the thread."""
        assert threading.current_thread() is threading.main_thread()
        self.folder.mkdir(exist_ok=True)
        self.group.create()
        script = BOOT.format(
            setup=self.setup, cgroups=self.group.mounts, hosts_file=self._lab / "hosts", name=self.name,
            join_files=" ".join(path for path in self._services_inside()),
        )  # fmt: skip
        join = JOIN.format(files=" ".join(self.group.top_files))
        unshare = [
            "unshare",
            *NAMESPACES,
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "--",
            "sh",
            "-c",
            script,
        ]
        with (self._lab / f"{self.name}-boot.log").open("ab") as log:
            self._outer = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", join, "sh", *unshare],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _services_inside(self) -> list[str]:
        return [
            f"{'/sys/fs/cgroup' if len(self.group.folders) == 1 else folder.parent}/services/cgroup.procs"
            for folder in self.group.folders
        ]

    def wait_booted(self) -> None:
        assert self._outer is not None and self._outer.stdout is not None
        assert self._outer.stdout.readline() == b"up\n", f"{self.name} does not boot"
        self._outer.stdout.close()

    def start(self, name: str, *command: str | Path, environment: Mapping[str, str]) -> Service:
        """Run a program on this host; its output is appended to a file of the lab."""
        log_path = self._lab / f"{self.name}-{name}.log"
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                self.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], **environment}, cwd="/", start_new_session=True,
            )  # fmt: skip
        service = self.services[name] = Service(process, log_path)
        return service

    def run(
        self, *command: str | Path, environment: Mapping[str, str] | None = None, seconds: float = 60
    ) -> str:
        """Run a program on this host to its end; returns what it printed."""
        done = subprocess.run(
            self.inside(*command), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False,
            env={"PATH": os.environ["PATH"], **(environment or {})}, cwd="/",
        )  # fmt: skip
        printed = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"{command}: {printed[-2000:]}"
        return done.stdout.decode()

    def inside(self, *command: str | Path) -> Sequence[str]:
        """The command line that runs `command` on this host."""
        join = JOIN.format(files=" ".join(self.group.join_files))
        nsenter = ["nsenter", "-t", str(self.pid), *("-m", "-p", "-n", "-u", "-i", "-C"), "--"]
        return ["sh", "-c", join, "sh", *nsenter, *map(str, command)]

    def power_off(self) -> None:
        """Kill every process at once. Cut its network before if nobody shall notice by a closed connection."""
        if self._outer is not None:
            self.group.thaw()
            for pid in _children(self._outer.pid):
                os.kill(pid, signal.SIGKILL)
            self._outer.wait(30)
            for service in self.services.values():
                service.wait(30)
        self._outer = None
        self.services.clear()
        self.group.remove()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
