"""The process that kills a runner's sandboxes when the runner does not renew its lease in time.

It works also while the runner is stopped by a signal or a debugger, swapped out, or stuck. Its argument is the runner's
folder. Its standard input has a line for each renewal: until when sandboxes may live, by CLOCK_BOOTTIME. At the end of
its input, the runner has ended, and so does this process. It holds no secret.
"""

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.limits import Hierarchy

POLL_SECONDS = 0.5  # the host may be suspended meanwhile, which `select` does not notice
KILL_AGAIN_SECONDS = 0.1  # while the lease has ended: the runner may be starting a sandbox
PRIORITY = -10  # it must be in time also on a busy host
END_SECONDS = 5.0  # to kill what is left when the runner has ended
READY = "ready"


def main(folder: Path) -> None:
    """Watch until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the runner may drain for long after them
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # an ordinary user may not
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    hierarchy = detect()
    print(READY, flush=True)
    deadline, pending = float("inf"), b""
    while True:
        remaining = deadline - time.clock_gettime(time.CLOCK_BOOTTIME)
        if remaining <= 0:
            kill(folder, hierarchy)
        wait_seconds = min(POLL_SECONDS, remaining if remaining > 0 else KILL_AGAIN_SECONDS)
        if not select.select([sys.stdin.fileno()], [], [], wait_seconds)[0]:
            continue
        received = os.read(sys.stdin.fileno(), 65536)
        if not received:
            break
        *lines, pending = (pending + received).split(b"\n")
        deadline = float(lines[-1]) if lines else deadline
    end_at = time.monotonic() + END_SECONDS
    while kill(folder, hierarchy) and time.monotonic() < end_at:
        time.sleep(KILL_AGAIN_SECONDS)


def kill(folder: Path, hierarchy: Hierarchy) -> bool:
    """Send SIGKILL to all processes of the runner's sandboxes; returns whether there were any. Each of its sandboxes
    has a folder of the same name in the runner's."""
    has_killed, names = False, set[str]()
    for name in _names(folder):
        try:
            group = hierarchy.group(name)
        except SandboxError:  # not the name of a sandbox
            continue
        names.add(name)
        if procfs.kill_once(group.pids):
            has_killed = True
            group.kill()  # after SIGKILL was sent, because it thaws: a frozen process does nothing more
    # Then those without a control group, which are found by reading the command line of every process of the host.
    return procfs.kill_once(lambda: procfs.with_a_marker(names)) or has_killed


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # the runner has removed it
        return []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
