"""What ran where and when, seen from outside: by the sandboxes' control groups, and by what their agents wrote."""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .control_group import HostGroup

POLL_SECONDS = 0.05
STAMPS = "stamps.txt"
AT_ONCE = 0.0


def stamping(seconds: float) -> str:
    """Shell commands of an agent that writes the time into a file, twenty times a second, without a child."""
    return (
        "exec 3<> <(:); end=$((SECONDS + " + f"{seconds:.0f}" + ")); "
        f"while [ $SECONDS -lt $end ]; do echo $EPOCHREALTIME >> {STAMPS}; read -t 0.05 -u 3; done; true"
    )


@dataclass
class Sandbox:
    """One sandbox: where it lived, when it was first and last seen, and the agent's own time stamps."""

    task_id: str
    attempt: int
    host: str
    first_seen: float
    last_seen: float = 0.0
    stamps: list[float] = field(default_factory=list[float])
    descriptor: int | None = None
    text: bytes = b""

    @property
    def own_stamps(self) -> list[float]:
        """Without those of earlier attempts, which a checkpoint has brought along."""
        return [stamp for stamp in self.stamps if stamp >= self.first_seen]


class Observer:
    """Watches the sandboxes of some hosts until `close`.

    It opens each agent's file of time stamps while the sandbox lives, and so reads it to the end after the sandbox and
    its workspace have gone.
    """

    def __init__(self, groups: Callable[[], Iterable[tuple[str, HostGroup]]]) -> None:
        self._groups = groups
        self._sandboxes: dict[tuple[str, str], Sandbox] = {}
        self._is_ending = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_ending.set()
        self._thread.join()

    def of(self, task_id: str) -> list[Sandbox]:
        """The sandboxes of a task, in the order of their attempts."""
        with self._lock:
            seen = [sandbox for sandbox in self._sandboxes.values() if sandbox.task_id == task_id]
        return sorted(seen, key=lambda sandbox: (sandbox.attempt, sandbox.first_seen))

    def living(self, task_id: str) -> list[Sandbox]:
        """Those seen in the last moment."""
        latest = time.time() - 10 * POLL_SECONDS
        return [sandbox for sandbox in self.of(task_id) if sandbox.last_seen >= latest]

    def first_seen_on(self, host: str, since: float) -> float | None:
        """When the first sandbox that began since then was seen on this host."""
        with self._lock:
            begun = [sandbox.first_seen for sandbox in self._sandboxes.values() if sandbox.host == host]
        return min((moment for moment in begun if moment > since), default=None)

    def overlaps(self, task_ids: Iterable[str]) -> list[str]:
        """A sentence for each pair of agents of one task that wrote at the same time, by their own time stamps."""
        sentences: list[str] = []
        for task_id in task_ids:
            for first, second in itertools.combinations(self.of(task_id), 2):
                a, b = first.own_stamps, second.own_stamps
                if a and b:
                    seconds = min(a[-1], b[-1]) - max(a[0], b[0])
                    if seconds > AT_ONCE:
                        sentences.append(
                            f"{task_id}: attempt {first.attempt} on {first.host} and attempt {second.attempt} on "
                            f"{second.host} wrote at once for {seconds:.2f} s"
                        )
        return sentences

    def _watch(self) -> None:
        while not self._is_ending.wait(POLL_SECONDS):
            now = time.time()
            for host, group in self._groups():
                for folder in group.sandboxes():
                    self._look(host, folder, now)
            for sandbox in list(self._sandboxes.values()):
                self._read(sandbox, now)

    def _look(self, host: str, folder: Path, now: float) -> None:
        task_id, _, attempt = folder.name.rpartition("-")
        if not task_id.startswith("tsk_") or not attempt.isdigit():
            return
        try:
            pids = (folder / "cgroup.procs").read_text().split()
        except OSError:
            return
        if not pids:
            return
        key = host, folder.name
        with self._lock:
            sandbox = self._sandboxes.setdefault(key, Sandbox(task_id, int(attempt), host, now))
        sandbox.last_seen = now
        if sandbox.descriptor is None and not sandbox.text:
            for pid in pids:
                with contextlib.suppress(OSError):
                    sandbox.descriptor = os.open(
                        f"/proc/{pid}/root/workspace/task/{STAMPS}", os.O_RDONLY | os.O_NOFOLLOW
                    )
                    break

    def _read(self, sandbox: Sandbox, now: float) -> None:
        if sandbox.descriptor is None:
            return
        while chunk := os.read(sandbox.descriptor, 65536):
            sandbox.text += chunk
        sandbox.stamps = [float(line) for line in sandbox.text.split(b"\n")[:-1]]
        if sandbox.last_seen < now - 20 * POLL_SECONDS:  # it holds the workspace's file system
            os.close(sandbox.descriptor)
            sandbox.descriptor = None
