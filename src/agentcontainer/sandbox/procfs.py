"""Finds and kills processes by what /proc says about them, where no control group lists them."""

import contextlib
import os
import re
import signal
import stat
import time
from collections.abc import Callable, Collection, Iterator

from agentcontainer.sandbox.contract import ID_PATTERN

MARKER = "agentcontainer:"  # + sandbox id: an argument of bwrap, and so of PID 1 in the sandbox


def marker(sandbox_id: str) -> str:
    """The command-line argument by which a sandbox's processes are found from outside, even after a crash."""
    return MARKER + sandbox_id


def with_uid(uid: int) -> set[int]:
    """Living processes with `uid` as real, effective, saved or file system uid."""
    return {pid for pid in _pids() if uid in _uids(pid)}


def with_marker(sandbox_id: str) -> set[int]:
    """The launcher, the outer bwrap and PID 1 of a sandbox. When PID 1 dies, the kernel kills all the others."""
    return {pid for pid, mark in _markers() if mark == marker(sandbox_id)}


def with_a_marker(sandbox_ids: Collection[str]) -> set[int]:
    """`with_marker` of any of these sandboxes, in one pass."""
    if not sandbox_ids:
        return set()
    marks = {marker(sandbox_id) for sandbox_id in sandbox_ids}
    return {pid for pid, mark in _markers() if mark in marks}


def sandbox_ids() -> set[str]:
    """Ids of all sandboxes with a process that has their marker. Any process of the host can fake one."""
    return {name for _, mark in _markers() if ID_PATTERN.fullmatch(name := mark.removeprefix(MARKER))}


def deleted_bytes(sandbox_id: str) -> int:
    """The size of deleted files that a sandbox's processes still have open."""
    bytes_of_file: dict[tuple[int, int], int] = {}
    for pid in _descendants(with_marker(sandbox_id)):
        with contextlib.suppress(OSError):  # it ended meanwhile
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116
                    if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                        bytes_of_file[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(bytes_of_file.values())


def kill_all(find: Callable[[], set[int]], within_seconds: float) -> bool:
    """Send SIGKILL to what `find` returns until it returns nothing; False if that takes longer than
    `within_seconds`. Blocks."""
    deadline = time.monotonic() + within_seconds
    pause = 0.002
    while kill_once(find):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def kill_once(find: Callable[[], set[int]]) -> bool:
    """Kill what `find` returns twice, before and after a pidfd was opened: a pid that was reused meanwhile is
    safe. Returns whether there was anything to kill."""
    pidfds: dict[int, int] = {}
    try:
        for pid in find() - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                pidfds[pid] = os.pidfd_open(pid)
        for pid in find() & pidfds.keys() if pidfds else ():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfds[pid], signal.SIGKILL)
        return bool(pidfds)
    finally:
        for descriptor in pidfds.values():
            os.close(descriptor)


def _descendants(ancestors: set[int]) -> set[int]:
    """These processes and all below them. An orphan in a sandbox becomes a child of the sandbox's PID 1."""
    children: dict[int, list[int]] = {}
    for pid in _pids() if ancestors else ():
        if match := re.search(rb"^PPid:\s+(\d+)", _read(f"/proc/{pid}/status"), re.M):
            children.setdefault(int(match[1]), []).append(pid)
    family, waiting = set(ancestors), list(ancestors)
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), ()) if pid not in family]
        family.update(below)
        waiting += below
    return family


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - three times as fast


def _uids(pid: int) -> set[int]:
    """The real, effective, saved and file system uid of a process; none if it is a zombie or has ended."""
    status = _read(f"/proc/{pid}/status")
    state, uids = re.search(rb"^State:\s+(\w)", status, re.M), re.search(rb"^Uid:(.*)", status, re.M)
    if state is None or uids is None or state[1] in (b"Z", b"X"):
        return set()
    return {int(uid) for uid in uids[1].split()}


def _markers() -> Iterator[tuple[int, str]]:
    """Pairs of pid and marker: for root those of all sandboxes, for an ordinary user those it may kill."""
    own = os.geteuid()
    for pid in _pids():
        for argument in _read(f"/proc/{pid}/cmdline").split(b"\0"):
            if argument.startswith(MARKER.encode()) and (own == 0 or own in _uids(pid)):
                yield pid, argument.decode(errors="replace")


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # it ended meanwhile
        return b""
    try:
        return os.read(descriptor, 1024**2)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
