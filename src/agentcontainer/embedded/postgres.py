"""The embedded PostgreSQL: one server for each data folder, on a Unix socket only, which ends with this
process.

DATA_DIR/postgres/data     the cluster
                  socket   a folder of mode 0700 with the only socket, so `trust` authentication is enough
                  log      the last megabytes of the server's log
                  lock     locked by the process that runs the server
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from agentcontainer.embedded import leftovers
from agentcontainer.embedded.binaries import Binaries, find
from agentcontainer.embedded.launch import ENVIRONMENT, command, inside
from agentcontainer.embedded.location import NAME, PORT, url_of
from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.file_lock import lock, open_lock_file

MAX_LOG_BYTES = 4 * 1024**2
LOCK_SECONDS = 20.0  # a command such as `admin` may hold the lock for a moment
START_SECONDS = 300  # crash recovery can take minutes
POLL_SECONDS = 0.02
# Fast shutdown, immediate shutdown, kill.
STOP_STEPS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # details can contain data of rows
    "log_min_error_statement": "panic",  # statements can contain values
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
NOT_DURABLE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@asynccontextmanager
async def running(data_dir: Path, *, service_uid: int, is_durable: bool = True) -> AsyncGenerator[str]:
    """Run the server during the block; yields its URL."""
    server = Postgres(data_dir, service_uid=service_uid, is_durable=is_durable)
    try:
        yield await server.start()
    finally:
        await server.stop()


class Postgres:
    """The server of one data folder. `is_durable=False` gives up crash safety for speed, for tests only.

    The server ends when the thread that started it ends.
    """

    def __init__(self, data_dir: Path, *, service_uid: int, is_durable: bool = True) -> None:
        self.url = url_of(data_dir)
        self._folder = data_dir / "postgres"
        self._uid = service_uid if os.geteuid() == 0 else None
        self._is_durable = is_durable
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, *, lock_seconds: float = LOCK_SECONDS) -> str:
        """Start the server, and create the cluster if there is none; returns the URL once the server answers.

        Raises:
            SettingsError: PostgreSQL is not installed, or not in the major version of the data.
            AgentContainerError: another process holds the lock, or the server did not start; says why.
        """
        try:
            await self._start(lock_seconds)
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """Shut the server down, by force if it takes too long. No process is left after it. Idempotent."""
        try:
            for number, seconds in STOP_STEPS:
                if not self.is_running():
                    break
                self._signal(number)
                await self._ended(seconds)
            if self._process is not None:
                await leftovers.clear(self._folder / "data", self._folder / "socket")
        finally:
            self._process = None
            self._unlock()

    def kill(self) -> None:
        """End the server at once, without a database checkpoint. A waiting `stop` then returns."""
        self._signal(signal.SIGQUIT)

    def trim_log(self) -> None:
        """Truncate the log if it is too large. Call it periodically."""
        log = self._folder / "log"
        with suppress(FileNotFoundError):
            if log.stat().st_size > MAX_LOG_BYTES:
                shutil.copyfile(log, self._folder / "log.1")
                os.truncate(log, 0)  # the server appends, so it continues at the new end

    async def _start(self, lock_seconds: float) -> None:
        self._make_folders()
        await self._take_lock(lock_seconds)
        data = self._folder / "data"
        await leftovers.clear(data, self._folder / "socket")
        version = data / "PG_VERSION"
        binaries = find(int(version.read_text()) if version.exists() else None)
        self.trim_log()
        if not version.exists():
            await self._make_cluster(binaries)
        self._give_away(data)
        self._process = self._launch(binaries, "postgres", self._arguments())
        await self._wait_until_ready()

    def _make_folders(self) -> None:
        if "," in str(self._folder):
            raise SettingsError(
                "AGENTCONTAINER_DATA_DIR must not contain a comma, which has a meaning in the database's URL."
            )
        if self._folder.exists() and self._folder.stat().st_uid != os.geteuid():
            raise SettingsError(
                f"{self._folder} belongs to another user; run as that user, or use another data folder."
            )
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Root owns the folder, the service uid its content: a compromised server cannot put a link where root
        # writes.
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o711)  # independent of the umask
        (self._folder / "socket").mkdir(mode=0o700, exist_ok=True)
        self._give_away(self._folder / "socket")

    def _give_away(self, folder: Path) -> None:
        """Give everything in `folder` to the service uid, which changes with AGENTCONTAINER_SANDBOX_UID_BASE."""
        if self._uid is None or folder.stat().st_uid == self._uid:
            return
        for _, folders, files, descriptor in os.fwalk(folder):
            for name in (*folders, *files):
                os.chown(name, self._uid, self._uid, dir_fd=descriptor, follow_symlinks=False)
        os.chown(folder, self._uid, self._uid)  # last, because it shows that the rest is done

    async def _take_lock(self, seconds: float) -> None:
        if self._lock is not None:
            return  # started again after a crash
        self._lock = open_lock_file(self._folder / "lock")
        try:
            async with asyncio.timeout(seconds):
                await lock(self._lock)
        except TimeoutError:
            raise AgentContainerError(
                f"Another process runs the PostgreSQL of {self._folder.parent}."
            ) from None

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _make_cluster(self, binaries: Binaries) -> None:
        new = self._folder / "data.new"
        await leftovers.clear(new, self._folder / "socket")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self._give_away(new)
        # Locale C, so that an upgrade of the system's libraries cannot change the order of an index.
        arguments = [
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",
            "--data-checksums",
            f"--username={NAME}",
        ]
        arguments += [] if self._is_durable else ["--no-sync"]
        pgdata = str(inside(self._folder, self._uid) / "data.new")
        self._process = self._launch(binaries, "initdb", [*arguments, f"--pgdata={pgdata}"])
        if not await self._ended(START_SECONDS) or self._process.returncode != 0:
            raise self._failure("PostgreSQL could not create its data folder")
        if (self._folder / "data").exists():
            (self._folder / "data").rmdir()
        new.rename(self._folder / "data")

    def _arguments(self) -> list[str]:
        folder = inside(self._folder, self._uid)
        settings = SERVER_SETTINGS | {"unix_socket_directories": str(folder / "socket")}
        if not self._is_durable:
            settings |= NOT_DURABLE_SETTINGS
        return [
            "-D",
            str(folder / "data"),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]

    def _launch(self, binaries: Binaries, program: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        argv = command(binaries, program, arguments, self._folder, self._uid)
        with open(self._folder / "log", "ab", opener=_private) as log:
            # A session of its own, so that Ctrl-C in the terminal reaches us only, and we stop the server
            # cleanly.
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=ENVIRONMENT,
                start_new_session=True,
            )  # fmt: skip

    async def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while self.is_running() and time.monotonic() < give_up_at:
            try:
                connection = await asyncpg.connect(self.url, timeout=10)
            except asyncpg.InvalidCatalogNameError:
                await self._create_database()
            except NOT_YET:
                await asyncio.sleep(POLL_SECONDS)
            else:
                await connection.close()
                return
        raise self._failure("PostgreSQL did not start")

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self.url, database="postgres", timeout=10)
        try:
            await connection.execute(f"CREATE DATABASE {NAME}")
        finally:
            await connection.close()

    async def _ended(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _failure(self, what: str) -> AgentContainerError:
        lines = (self._folder / "log").read_text(errors="replace").splitlines()[-5:]
        return AgentContainerError(f"{what}. The end of its log: {' | '.join(lines) or '(none)'}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
