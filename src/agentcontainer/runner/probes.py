"""A runner's metrics and probes, and the name under which its metrics are known."""

import contextlib
import os
import shutil
import socket
from collections.abc import Generator
from pathlib import Path

from agentcontainer.db import Pool
from agentcontainer.file_lock import open_lock_file, try_lock
from agentcontainer.runner.supervisor import Supervisor
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics
from agentcontainer.telemetry.exposition import Exposition

NAMES_FOLDER = "runner_names"  # below the data folder: a lock file for each number in use
MAX_NUMBER = 1000


@contextlib.contextmanager
def own_name(settings: Settings) -> Generator[str]:
    """The runner's name: the configured one, or the host's name and the lowest number that no other runner of this data
    folder uses during the block. It is the same after a restart, so that metrics go on under it."""
    if settings.runner_name is not None:
        yield settings.runner_name
        return
    folder = settings.data_dir / NAMES_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, MAX_NUMBER + 1):
        descriptor = open_lock_file(folder / str(number))
        try:
            if try_lock(descriptor):
                yield f"{socket.gethostname()}-{number}"
                return
        finally:
            os.close(descriptor)
    yield socket.gethostname()


def exposition(supervisor: Supervisor, pool: Pool, folder: Path) -> Exposition:
    """The metrics of a runner whose workspaces are in `folder`."""

    async def refresh() -> None:
        used = supervisor.used_slots
        metrics.RUNNER_SLOTS.labels("used").set(used)
        metrics.RUNNER_SLOTS.labels("free").set(max(0, supervisor.capacity - used))
        metrics.POOL_CONNECTIONS.labels("idle").set(pool.get_idle_size())
        metrics.POOL_CONNECTIONS.labels("used").set(pool.get_size() - pool.get_idle_size())
        metrics.DISK_FREE.set(shutil.disk_usage(folder).free)
        metrics.CONTAINER_TIME.count()

    return Exposition(metrics.registry_of(metrics.OF_RUNNER), refresh)
