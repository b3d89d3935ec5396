"""A systemd of the tests' own: PID 1 in namespaces of this host, above a copy-on-write layer of the host's files.

It shares the kernel, the network and the users with the host. Its control groups are below one of the host's.
"""

import os
import secrets
import shlex
import subprocess
import time
from pathlib import Path

import psutil

from tests.control_groups import remove_tree
from tests.ordinary_user import NEEDED

# In the host's namespaces: a group of its own in each hierarchy, which becomes the top of what systemd sees.
JOIN = """
for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
    folder=${file%/*}
    if [ ! -e "$file" ] || [ -L "$folder" ]; then continue; fi
    if [ -e "$folder/cpuset.cpus" ] && [ ! -e "$folder/cgroup.controllers" ]; then continue; fi # needs CPUs first
    mkdir "$folder/$GROUP"
    echo $$ >"$folder/$GROUP/cgroup.procs"
done
"""
BOOT = """
mount -t tmpfs -o mode=755 none "$FOLDER"
mkdir "$FOLDER/upper" "$FOLDER/work" "$FOLDER/root"
mount -t overlay -o "lowerdir=/,upperdir=$FOLDER/upper,workdir=$FOLDER/work" root "$FOLDER/root"
cd "$FOLDER/root"
for path in "$@"; do
    if [ "$(stat -c %d "$path")" != "$(stat -c %d /)" ]; then mkdir -p ".$path"; mount --rbind "$path" ".$path"; fi
    while [ "$path" != / ]; do chmod o+rx ".$path" 2>/dev/null || true; path=$(dirname "$path"); done
done
mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount -t tmpfs -o mode=755 none sys/fs/cgroup
while IFS=: read -r id names path; do
    case $names in
        "") at=sys/fs/cgroup; if grep -q :memory: /proc/self/cgroup; then at=$at/unified; fi
            mkdir -p $at; mount -t cgroup2 cgroup2 $at ;;
        cpuset) ;;
        *) at=sys/fs/cgroup/${names#name=}; mkdir $at
            case $names in name=*) names=none,$names ;; esac
            mount -t cgroup -o "$names" cgroup $at ;;
    esac
done </proc/self/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 none run
mkdir -p run/host srv/postgres
mount --bind "$POSTGRES" srv/postgres
rm -rf etc/systemd/system/*.wants root/.config var/lib/agentcontainer
printf '[Unit]\nDescription=Nothing\n' >etc/systemd/system/nothing.target
pivot_root . run/host
umount -l /run/host
exec /lib/systemd/systemd --unit=nothing.target
"""


class Machine:
    """Started by `start`, stopped by `stop`. Paths are the machine's. `folder` is empty, and its parent the test's own.

    `postgres`: a folder of the host, such as that of a database's socket, which the machine has as /srv/postgres.
    """

    def __init__(self, folder: Path, postgres: Path) -> None:
        self._folder = folder
        self._postgres = postgres
        self._group = f"ac-systemd-{secrets.token_hex(4)}"
        self._outer: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def start(self) -> None:
        inner = ["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"]
        inner += ["bash", "-euc", BOOT, "bash", *map(str, NEEDED)]
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "container": "lxc", "FOLDER": str(self._folder), "GROUP": self._group, "POSTGRES": str(self._postgres),
        }  # fmt: skip
        with (self._folder.parent / "systemd.log").open("wb") as log:
            self._outer = subprocess.Popen(
                ["bash", "-euc", f'{JOIN}\nexec "$@"', "bash", *inner],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while self.run("systemctl", "is-active", "nothing.target", is_checked=False) != "active":
            assert self._outer.poll() is None and time.monotonic() < deadline, self.boot_log()
            time.sleep(0.1)
        self.run("systemctl", "start", "systemd-journald.service")

    def boot_log(self) -> str:
        return (self._folder.parent / "systemd.log").read_text(errors="replace")

    def stop(self) -> None:
        """Kill everything in it."""
        if self._outer is not None:
            if self._find_pid():
                psutil.Process(self._pid).kill()  # PID 1 of the namespace: the kernel kills all others
            self._outer.kill()
            self._outer.wait()
        remove_tree(self._group)

    def _find_pid(self) -> int:
        """The pid of its systemd; 0 until that runs."""
        if not self._pid and self._outer is not None:
            for child in psutil.Process(self._outer.pid).children(recursive=True):
                if child.name() == "systemd":
                    self._pid = child.pid
        return self._pid

    def run(self, *argv: str, is_checked: bool = True, seconds: float = 120, **environment: str) -> str:
        """Run a command in it as root; returns what it prints to stdout, without white space at the end."""
        if not self._find_pid():
            return ""
        inside = ["nsenter", f"--target={self._pid}", "--all", "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8"]
        inside += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        inside += [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run(
            [*inside, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not is_checked, f"{shlex.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def path(self, path: str) -> Path:
        """Where this host finds a file of the machine."""
        return Path(f"/proc/{self._pid}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=mode)
        os.chmod(file, mode)
        file.write_text(text)

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)
