"""What a killed server leaves: processes that still use its data, and files that only seem to be in use."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from agentcontainer.errors import AgentContainerError

POLL_SECONDS = 0.02
# Orphans end by themselves, as their parent's death reaches them; those that do not are told so, then killed.
STEPS: list[tuple[signal.Signals | None, float]] = [
    (None, 3.0),
    (signal.SIGQUIT, 5.0),
    (signal.SIGKILL, 5.0),
]


async def clear(data: Path, socket: Path) -> None:
    """End every process that works in `data`, then remove the pid and socket files.

    For the holder of the server's lock only. PostgreSQL itself judges its pid file by the pid, which after a
    kill -9 may belong to any other process; a process is the server's own if its working directory is `data`.

    Raises:
        AgentContainerError: one of them survived SIGKILL.
    """
    if data.is_dir():
        await _end_processes(data)
    for stale in (data / "postmaster.pid", *socket.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def found(data: Path) -> list[int]:
    """The server processes that work in `data`."""
    return _working_in(data) if data.is_dir() else []


async def _end_processes(data: Path) -> None:
    pids: list[int] = []
    for number, seconds in STEPS:
        give_up_at = time.monotonic() + seconds
        pids = _working_in(data)
        for pid in pids if number is not None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, number or 0)
        while pids and time.monotonic() < give_up_at:
            await asyncio.sleep(POLL_SECONDS)
            pids = _working_in(data)
        if not pids:
            return
    raise AgentContainerError(
        f"Processes {_working_in(data)} of an earlier PostgreSQL do not end; end them by hand."
    )


def _working_in(data: Path) -> list[int]:
    folder = data.stat()
    found: list[int] = []
    for pid in psutil.pids():
        # By inode: the path is another one in the server's mount namespace.
        with suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder) and _is_postgres(pid):  # noqa: PTH116
                found.append(pid)
    return found


def _is_postgres(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
