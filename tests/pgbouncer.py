"""A PgBouncer before a test's database."""

import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.data_folder import SERVICE_UID
from tests.ports import free_port

CONFIGURATION = """
[databases]
{name} = host={socket} port={server_port} user=agentcontainer pool_size={pool_size} connect_query='{limits}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
unix_socket_dir =
pool_mode = {mode}
server_round_robin = {round_robin}
ignore_startup_parameters = extra_float_digits
"""
LIMITS = "SET idle_in_transaction_session_timeout = 10000; SET lock_timeout = 20000"


class Bouncer:
    """One PgBouncer at a time."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._server = urlsplit(database_url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, mode: str, *, pool_size: int = 20, limits: str = LIMITS, is_round_robin: bool = False
    ) -> str:
        """Start it in place of the one that runs; returns the URL to it."""
        self.stop()
        port, options = free_port(), parse_qs(self._server.query)
        name = self._server.path.removeprefix("/")
        file, log = self._folder / "pgbouncer.ini", self._folder / "pgbouncer.log"
        file.write_text(
            CONFIGURATION.format(
                name=name, socket=options["host"][0], server_port=options["port"][0], port=port, mode=mode,
                pool_size=pool_size, limits=limits, round_robin=int(is_round_robin),
            )
        )  # fmt: skip
        self._folder.chmod(0o755)  # PgBouncer refuses to run as root
        file.chmod(0o644)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/usr/sbin/pgbouncer", str(file)], user=SERVICE_UID, group=SERVICE_UID, extra_groups=[],
                cwd="/", stderr=output, stdout=output,
            )  # fmt: skip
        give_up_at = time.monotonic() + 20
        while not _is_open(port):
            assert self._process.poll() is None and time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.05)
        return f"postgresql://agentcontainer@127.0.0.1:{port}/{name}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
