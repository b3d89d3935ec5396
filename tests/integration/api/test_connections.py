"""Thousands of connections, silent ones or streams, do not keep others from being served.

The API runs as a process that may have 600 files open, so that few connections suffice.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from agentcontainer.api.connections import Bounds
from tests.api_process import api_process

from .conftest import Account, Bed, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES = 600
BOUNDS = Bounds.fitting(FILES)
FEW = 60  # an idle process has about 20
FIRST = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {FILES}))
from agentcontainer.api import connections
connections.HEAD_SECONDS, connections.BODY_SECONDS, connections.STALL_SECONDS = 3.0, 3.0, 3.0
"""


class Server:
    """The process and its address, and its log."""

    def __init__(self, base_url: str, pid: int, log: Path) -> None:
        self.base_url = base_url
        self._process = psutil.Process(pid)
        self._log = log

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(urlsplit(self.base_url).hostname, urlsplit(self.base_url).port)

    async def get(self, path: str, account: Account) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.base_url, timeout=10, trust_env=False) as http:
            return await http.get(path, headers={"Authorization": f"Bearer {account.key}"})

    async def until_few_files_are_open(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while self._process.num_fds() > FEW:
            assert time.monotonic() < deadline, self._process.num_fds()
            await asyncio.sleep(0.1)

    def logged(self, text: str) -> int:
        return self._log.read_text().count(text)


@pytest.fixture(scope="module")
def server(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    assert bed.settings.database_url
    with api_process(bed.settings.database_url, folder, FIRST) as (base_url, pid):
        yield Server(base_url, pid, folder / "api.log")


@contextlib.asynccontextmanager
async def silent(server: Server, count: int) -> AsyncIterator[None]:
    """So many connections on which nothing is sent."""
    opened = await asyncio.gather(*(server.connect() for _ in range(count)))
    try:
        yield
    finally:
        for _, writer in opened:
            writer.close()


async def test_silent_connections_do_not_keep_others_from_being_served(
    server: Server, alice: Account
) -> None:
    async with silent(server, FILES + 100):
        began_at = time.monotonic()
        for _ in range(5):
            assert (await server.get("/api/v1/account", alice)).status_code == 200
        assert time.monotonic() - began_at < 5
        await server.until_few_files_are_open()
    assert server.logged("overload: ") == 1
    assert server.logged("Too many open files") == server.logged("Traceback") == 0


async def test_streams_do_not_keep_other_accounts_from_being_served(
    server: Server, bed: Bed, alice: Account
) -> None:
    created = await alice.post("/api/v1/agents/agt_standard_data/tasks", json={"instructions": "x"})
    path = f"/api/v1/tasks/{created.json()['id']}/events?stream=true"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.key}\r\n\r\n".encode()

    opened: list[asyncio.StreamWriter] = []
    few_at_once = asyncio.Semaphore(BOUNDS.of_address // 2)  # silent connections above the bound are closed

    async def stream() -> int:
        async with few_at_once:
            reader, writer = await server.connect()
            opened.append(writer)
            writer.write(head)
            return int((await reader.readline()).split()[1])

    try:
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(stream()) for _ in range(BOUNDS.of_account + 30)]
        statuses = [task.result() for task in streams]
        assert statuses.count(200) == BOUNDS.of_account
        assert set(statuses) == {200, 429}
        other = await new_account(bed)
        assert (await server.get("/api/v1/account", other)).status_code == 200
    finally:
        for writer in opened:
            writer.close()
    assert server.logged("Too many open files") == server.logged("Traceback") == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nX-Slow: ",
        b"POST /api/v1/api-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: 10\r\n\r\n{",
    ],
    ids=["headers", "body"],
)
async def test_a_request_that_stops_in_the_middle_is_closed(
    server: Server, alice: Account, sent: bytes
) -> None:
    reader, writer = await server.connect()
    writer.write(sent.replace(b"KEY", alice.key.encode()))
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()
