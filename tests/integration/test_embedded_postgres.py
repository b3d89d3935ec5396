"""The embedded PostgreSQL survives kills and restarts, and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from agentcontainer.embedded.location import is_running
from agentcontainer.embedded.postgres import MAX_LOG_BYTES, Postgres, running
from agentcontainer.errors import AgentContainerError, SettingsError
from tests.ordinary_user import UID as ORDINARY_UID
from tests.ordinary_user import as_ordinary_user, home_in

UID = 699_999
CHILD = """
import asyncio, sys, time
from pathlib import Path
from agentcontainer.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]), service_uid=699_999)
asyncio.run(server.start())
print(server.pid, flush=True)
time.sleep(60)
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


async def write(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")


async def read(url: str) -> int:
    async with connected(url) as connection:
        return await connection.fetchval("SELECT n FROM kept")


def servers_in(data_dir: Path) -> list[int]:
    """Pids of every PostgreSQL process of that data folder."""
    folder = (data_dir / "postgres" / "data").stat()
    servers = []
    for process in psutil.process_iter():
        try:
            if os.path.samestat(os.stat(f"/proc/{process.pid}/cwd"), folder):
                servers.append(process.pid)
        except OSError:
            continue
    return servers


def gone_within(seconds: float, data_dir: Path) -> bool:
    deadline = time.monotonic() + seconds
    while servers_in(data_dir) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not servers_in(data_dir)


def shared_memory_of(pid: int) -> set[Path]:
    return {Path(area.path) for area in psutil.Process(pid).memory_maps() if "/PostgreSQL." in area.path}


def uid_of(pid: int) -> int | None:
    """The uid of the process; None if it has just ended, as helper processes of a server do."""
    try:
        return psutil.Process(pid).uids().real
    except psutil.NoSuchProcess:
        return None


async def test_a_fresh_server_answers_unprivileged_and_on_its_socket_only(short_dir: Path) -> None:
    server = Postgres(short_dir, service_uid=UID)
    url = await server.start()
    try:
        async with connected(url) as connection:
            assert (
                await connection.fetchval("SELECT current_user || current_database()") == "agentcontainer" * 2
            )
            assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert is_running(short_dir)
        assert 0 not in {uid_of(pid) for pid in servers_in(short_dir)}
        assert not psutil.Process(server.pid).net_connections("inet")
        assert str(short_dir) not in Path("/proc/mounts").read_text()
        assert (short_dir / "postgres" / "socket").stat().st_mode & 0o777 == 0o700
    finally:
        await server.stop()
    assert not is_running(short_dir)
    assert not servers_in(short_dir)


async def test_a_restart_keeps_the_data(short_dir: Path) -> None:
    async with running(short_dir, service_uid=UID) as url:
        await write(url)
    async with running(short_dir, service_uid=UID) as url:
        assert await read(url) == 42


async def test_kill_9_of_the_server_loses_nothing_committed(short_dir: Path) -> None:
    server = Postgres(short_dir, service_uid=UID)
    url = await server.start()
    try:
        await write(url)
        async with connected(url) as busy:
            query = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0.1)
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises((asyncpg.PostgresError, OSError)):
                await query
        while server.is_running():
            await asyncio.sleep(0.02)
        assert await server.start(lock_seconds=1) == url
        assert await read(url) == 42
    finally:
        await server.stop()


async def test_a_stale_pid_file_with_the_pid_of_another_process_is_ignored(short_dir: Path) -> None:
    async with running(short_dir, service_uid=UID) as url:
        await write(url)
    folder = short_dir / "postgres"
    stale = (
        f"{os.getpid()}\n/mnt/postgres/data\n{int(time.time())}\n5432\n/mnt/postgres/socket\n\n 1 1\nready\n"
    )
    (folder / "data" / "postmaster.pid").write_text(stale)
    (folder / "socket" / ".s.PGSQL.5432.lock").write_text(stale)
    async with running(short_dir, service_uid=UID) as url:
        assert await read(url) == 42


@pytest.fixture
def child(short_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that has started the server of `short_dir`."""
    with subprocess.Popen([sys.executable, "-c", CHILD, short_dir], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        yield process
        process.kill()
    gone_within(10, short_dir)


async def test_kill_9_of_the_parent_ends_the_server(short_dir: Path, child: subprocess.Popen[bytes]) -> None:
    shared_memory = shared_memory_of(min(servers_in(short_dir)))
    assert shared_memory
    child.kill()
    assert gone_within(30, short_dir)
    assert not [path for path in shared_memory if path.exists()]
    async with running(short_dir, service_uid=UID) as url, connected(url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_kill_9_of_parent_and_server_at_once_can_start_at_once(
    short_dir: Path, child: subprocess.Popen[bytes]
) -> None:
    pids = servers_in(short_dir)
    os.kill(min(pids), signal.SIGKILL)
    child.kill()
    async with running(short_dir, service_uid=UID) as url, connected(url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_only_one_process_owns_a_data_folder(short_dir: Path, child: subprocess.Popen[bytes]) -> None:
    second = Postgres(short_dir, service_uid=UID)
    with pytest.raises(AgentContainerError, match="Another process runs the PostgreSQL of"):
        await second.start(lock_seconds=0.1)
    assert is_running(short_dir)


async def test_a_killed_initdb_is_repeated(short_dir: Path) -> None:
    half_made = short_dir / "postgres" / "data.new" / "base"
    half_made.mkdir(parents=True)
    (half_made / "1").write_text("half")
    async with running(short_dir, service_uid=UID) as url:
        await write(url)
        assert await read(url) == 42
    assert not half_made.parent.exists()


async def test_data_of_another_major_version_is_refused(short_dir: Path) -> None:
    data = short_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(SettingsError, match=r"created by PostgreSQL 9, but only version .*18"):
        await Postgres(short_dir, service_uid=UID).start()


async def test_a_server_that_cannot_start_says_why(short_dir: Path) -> None:
    async with running(short_dir, service_uid=UID):
        pass
    (short_dir / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    server = Postgres(short_dir, service_uid=UID)
    with pytest.raises(AgentContainerError, match=r"did not start\. The end of its log: .*no_such_setting"):
        await server.start()
    assert not server.is_running()


async def test_the_log_is_bounded(short_dir: Path) -> None:
    log = short_dir / "postgres" / "log"
    log.parent.mkdir(mode=0o711)
    log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    async with running(short_dir, service_uid=UID):
        assert log.stat().st_size < MAX_LOG_BYTES


async def test_the_data_is_handed_to_a_changed_service_uid(short_dir: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user has one uid only
    async with running(short_dir, service_uid=UID) as url:
        await write(url)
    async with running(short_dir, service_uid=UID - 1) as url:
        assert await read(url) == 42


async def test_the_server_starts_with_a_strict_umask_and_an_unusual_path(short_dir: Path) -> None:
    umask = os.umask(0o077)
    try:
        async with running(short_dir / "a b'%41\"é", service_uid=UID) as url:
            await write(url)
            assert await read(url) == 42
    finally:
        os.umask(umask)


async def test_a_comma_in_the_path_is_refused(short_dir: Path) -> None:
    with pytest.raises(SettingsError, match="must not contain a comma"):
        await Postgres(short_dir / "a,b", service_uid=UID).start()


async def test_root_may_keep_data_where_nobody_else_can_go(short_dir: Path) -> None:
    closed = short_dir / "closed"
    closed.mkdir(mode=0o700)
    async with running(closed / "data", service_uid=UID) as url:
        await write(url)
        assert await read(url) == 42
    assert closed.stat().st_mode & 0o777 == 0o700


AS_ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from agentcontainer.embedded.postgres import running
async def main():
    for turn in ("fresh", "again"):
        async with running(Path(sys.argv[1]), service_uid=699_999) as url:
            connection = await asyncpg.connect(url)
            print(turn, os.getuid(), await connection.fetchval("SELECT 'answers'"), flush=True)
            await connection.close()
asyncio.run(main())
"""


def test_an_ordinary_user_runs_it_directly(short_dir: Path) -> None:
    if os.geteuid() != 0:
        return  # the tests above have covered this case
    home = home_in(short_dir)
    data_dir = home / "a b'%41\"é"
    argv = as_ordinary_user([sys.executable, "-c", AS_ORDINARY_USER, str(data_dir)])
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/")
    assert answer.stdout == f"fresh {ORDINARY_UID} answers\nagain {ORDINARY_UID} answers\n", answer.stderr
    assert (data_dir / "postgres" / "data" / "PG_VERSION").stat().st_uid == ORDINARY_UID
