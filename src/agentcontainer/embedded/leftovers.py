"""Removes what a killed server left: processes that still use its data, and stale pid and socket files."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from agentcontainer.errors import AgentContainerError

POLL_SECONDS = 0.02
# Orphans notice that their parent died and end themselves. Those that do not are signalled, then killed.
STEPS: list[tuple[signal.Signals | None, float]] = [
    (None, 3.0),
    (signal.SIGQUIT, 5.0),
    (signal.SIGKILL, 5.0),
]


async def clear(data: Path, socket: Path) -> None:
    """End every server process that uses `data`, then remove the pid and socket files.

    Call it with the server's lock held. A process belongs to the server if its working directory is `data`.
    PostgreSQL itself trusts the pid in its pid file, which another process may have after a kill -9.

    Raises:
        AgentContainerError: one of them survived SIGKILL.
    """
    if data.is_dir():
        await _end_processes(data)
    for stale in (data / "postmaster.pid", *socket.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def server_pids(data: Path) -> list[int]:
    """The server processes that use `data`."""
    return _pids_using(data) if data.is_dir() else []


async def _end_processes(data: Path) -> None:
    pids: list[int] = []
    for number, seconds in STEPS:
        give_up_at = time.monotonic() + seconds
        pids = _pids_using(data)
        for pid in pids if number is not None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, number or 0)
        while pids and time.monotonic() < give_up_at:
            await asyncio.sleep(POLL_SECONDS)
            pids = _pids_using(data)
        if not pids:
            return
    raise AgentContainerError(
        f"Processes {_pids_using(data)} of an earlier PostgreSQL do not end; kill them by hand."
    )


def _pids_using(data: Path) -> list[int]:
    folder = data.stat()
    pids: list[int] = []
    for pid in psutil.pids():
        # Compared by inode: the path differs in the server's mount namespace.
        with suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder) and _is_postgres(pid):  # noqa: PTH116
                pids.append(pid)
    return pids


def _is_postgres(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
