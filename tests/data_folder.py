"""One initialised data folder for the whole test run; tests start from copies of it.

`initdb` and the migrations take two seconds of CPU time, and some sixty tests need a platform of their own.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from agentcontainer.embedded.postgres import running
from agentcontainer.migrations.migrate import migrate

SERVICE_UID = 699_999  # the default of AGENTCONTAINER_SANDBOX_UID_BASE, less one
_PREFIX = "ac-data-of-"  # followed by the pid of the run
# Inherited by the workers of pytest-xdist and by the programs that tests start.
_VARIABLE = "TEST_DATA_FOLDER"


def reserve() -> None:
    """Choose the path of the run's initialised data folder, for this process and its children."""
    for leftover in Path("/tmp").glob(f"{_PREFIX}*"):  # of test runs that were killed
        if not psutil.pid_exists(int(leftover.name.removeprefix(_PREFIX))):
            shutil.rmtree(leftover, ignore_errors=True)
    os.environ[_VARIABLE] = f"/tmp/{_PREFIX}{os.getpid()}"
    os.environ["XDG_CONFIG_HOME"] = f"/tmp/{_PREFIX}{os.getpid()}/config"  # `up` stores its key as a profile


def release() -> None:
    """Remove the initialised data folder."""
    if folder := os.environ.pop(_VARIABLE, None):
        shutil.rmtree(folder, ignore_errors=True)  # absent if no test needed it


def fill(data_dir: Path) -> None:
    """Give the empty `data_dir` a PostgreSQL cluster with the current schema and no account.

    Outside of a test run it stays empty, and `agentcontainer up` initialises it.
    """
    if folder := os.environ.get(_VARIABLE):
        source = _initialised(Path(folder))
        subprocess.run(["cp", "-a", "--reflink=auto", "--", str(source), str(data_dir)], check=True)


def made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """What `make` returns; the test workers of a run make it once. Outside of a test run it is made each time."""
    if not (folder := os.environ.get(_VARIABLE)):
        return make()
    with _locked(Path(folder)):
        path = Path(folder, name)
        if not path.exists():
            new = path.with_suffix(".new")
            new.write_bytes(make())
            new.rename(path)
        return path.read_bytes()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Test workers start at the same time."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _initialised(folder: Path) -> Path:
    data_dir = folder / "data"
    with _locked(folder):
        if not data_dir.exists():
            new = folder / "new"
            shutil.rmtree(new, ignore_errors=True)
            asyncio.run(_initialise(new))
            new.rename(data_dir)
    return data_dir / "postgres"


async def _initialise(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    async with running(data_dir, service_uid=SERVICE_UID, is_durable=False) as url:
        await migrate(url)
