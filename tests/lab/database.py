"""PostgreSQL on a host of the lab: TLS only, with a certificate of the lab's own CA, and a socket for the tests."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import asyncpg

from tests.certificates import Authority

from .host import Host

USER = "postgres"  # Debian's package makes it
NAME = "agents"
PASSWORD = "the-labs-own-password"
SETTINGS = {
    "listen_addresses": "*",
    "ssl": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",  # the kernel does not crash
    "log_line_prefix": "%m [%p] %r ",
    "log_lock_waits": "on",
    "max_wal_senders": "4",
    "wal_keep_size": "256MB",
}
ACCESS = """local all all trust
hostssl all all all scram-sha-256
hostssl replication all all scram-sha-256
"""
START_SECONDS = 60


def programs() -> Path:
    """The newest PostgreSQL of the distribution: that of the wheel has no TLS."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert folders, "install the Debian package postgresql"
    return folders[-1]


class Database:
    """A server and its data. It can be started again."""

    def __init__(self, host: Host, authority: Authority) -> None:
        self.host = host
        self._authority = authority
        self._names = (host.address, "db.internal")
        self.folder = host.folder
        self._data = host.folder / "data"

    @property
    def superuser_url(self) -> str:
        """For the tests, over the server's own socket, which no fault of the network concerns."""
        return f"postgresql://{USER}@/{NAME}?host={self.folder}"

    @property
    def owner_url(self) -> str:
        """The same, as the role that owns the installation's database."""
        return f"postgresql://{NAME}@/{NAME}?host={self.folder}"

    def url(self, *others: "Database", query: str = "") -> str:
        """For the installation. With `others`: whichever of the servers accepts writes."""
        hosts = ",".join(f"{server.host.address}:5432" for server in (self, *others))
        more = "&target_session_attrs=read-write" if others else ""
        tls = f"sslmode=verify-full&sslrootcert={self._authority.file}"
        return f"postgresql://{NAME}:{PASSWORD}@{hosts}/{NAME}?{tls}{more}{query}"

    def create(self) -> None:
        """Make an empty data folder."""
        self._make_folder()
        command = [programs() / "initdb", "-D", self._data, "--encoding=UTF8", "--locale=C", "--no-sync",
                   "--auth=trust", f"--username={USER}"]  # fmt: skip
        _as_server(command)
        (self._data / "pg_hba.conf").write_text(ACCESS)

    def copy_of(self, primary: "Database") -> None:
        """Make a data folder that follows `primary` as a streaming replica."""
        self._make_folder()
        source = f"postgresql://{USER}:{PASSWORD}@{primary.host.address}:5432/postgres?sslmode=require"
        command = [
            programs() / "pg_basebackup",
            "-D",
            self._data,
            "-d",
            source,
            "-R",
            "-c",
            "fast",
            "--no-sync",
        ]
        self.host.run(*_dropping_root(), *command)

    def start(self) -> None:
        """Start the server; `wait_ready` waits for it."""
        settings = SETTINGS | {
            "unix_socket_directories": str(self.folder),
            "ssl_cert_file": str(self.folder / "server.pem"),
            "ssl_key_file": str(self.folder / "server.pem"),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.host.start(
            "postgres", *_dropping_root(), programs() / "postgres", "-D", self._data, *options,
            environment={"LANG": "C.UTF-8"},
        )  # fmt: skip

    async def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                await (await asyncpg.connect(self._maintenance_url(), timeout=5)).close()
                return
            except (OSError, asyncpg.PostgresError):
                assert self.host.services["postgres"].is_running(), self.host.services["postgres"].log()
                assert time.monotonic() < deadline, self.host.services["postgres"].log()
                time.sleep(0.02)

    async def make_database(self) -> None:
        """Make the installation's database and the role that owns it."""
        connection = await asyncpg.connect(self._maintenance_url())
        try:
            await connection.execute(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")
            await connection.execute(f"CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'")
            await connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")
        finally:
            await connection.close()

    async def wait_for_standby(self) -> None:
        """Let every commit wait for the standby, and wait until one follows."""
        connection = await asyncpg.connect(self._maintenance_url())
        try:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + START_SECONDS
            while not await connection.fetchval(
                "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            ):
                assert time.monotonic() < deadline, "no standby follows"
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    def promote(self) -> None:
        """Let a replica accept writes."""
        self.host.run(*_dropping_root(), programs() / "pg_ctl", "promote", "-D", self._data, "-w")

    def _maintenance_url(self) -> str:
        return self.superuser_url.replace(f"/{NAME}?", "/postgres?")

    def _make_folder(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._authority.issue(self.folder / "server.pem", *self._names)
        self._data.mkdir(mode=0o700)
        for path in (self.folder, self.folder / "server.pem", self._data):
            shutil.chown(path, USER, USER)


def _dropping_root() -> list[str]:
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def _as_server(command: list[str | Path]) -> None:
    done = subprocess.run(
        [*_dropping_root(), *command],
        capture_output=True,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
