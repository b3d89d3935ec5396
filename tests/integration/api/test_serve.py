"""The API as a real process on a real socket."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.api_process import FORGET, SECRET_KEY
from tests.ports import free_port

from .conftest import Bed, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROGRAM = """
import asyncio, logging
from agentcontainer import settings
from agentcontainer.api.serve import serve
from agentcontainer.errors import SettingsError
logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
try:
    asyncio.run(serve(settings.load()))
except SettingsError as error:
    raise SystemExit(str(error))
"""


@dataclass
class Api:
    process: asyncio.subprocess.Process
    folder: Path
    base: str
    http: httpx2.AsyncClient

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def logged(self, text: str) -> str:
        """Wait until the log contains `text`; returns the log."""
        deadline = time.monotonic() + 30
        while text not in (log := self.log):
            assert time.monotonic() < deadline, log
            await asyncio.sleep(0.05)
        return log


async def launch(
    url: str, folder: Path, port: int, log: Path, host: str | None = None
) -> asyncio.subprocess.Process:
    """Start it. With a `host` it listens there, and has no public URL."""
    reached_at = {"PUBLIC_URL": f"http://127.0.0.1:{port}"} if host is None else {"HOST": host}
    environment = {
        "PATH": os.environ["PATH"],
        **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        "AGENTCONTAINER_DATA_DIR": str(folder),
        "AGENTCONTAINER_DATABASE_URL": url,
        "AGENTCONTAINER_STORAGE_URL": f"file://{folder}/blobs",
        **{f"AGENTCONTAINER_{name}": value for name, value in reached_at.items()},
        "AGENTCONTAINER_SECRET_KEY": SECRET_KEY,
        "AGENTCONTAINER_PORT": str(port),
        "AGENTCONTAINER_RUNNER_LOST_AFTER_SECONDS": "5",
    }
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", FORGET + PROGRAM, env=environment, stdout=output, stderr=output
        )


@contextlib.asynccontextmanager
async def running(bed: Bed, host: str | None = None) -> AsyncGenerator[Api]:
    account = await new_account(bed)
    folder = Path(tempfile.mkdtemp(prefix="ac-api-", dir="/tmp"))
    port = free_port()
    assert bed.settings.database_url
    process = await launch(bed.settings.database_url, folder, port, folder / "log", host)
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(
            base_url=base, headers={"Authorization": f"Bearer {account.key}"}
        ) as http:
            started = Api(process, folder, base, http)
            await started.logged("listening on")
            yield started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(bed: Bed) -> AsyncIterator[Api]:
    """One process for all tests that do not stop it."""
    async with running(bed) as started:
        yield started


async def prepare(api: Api) -> dict[str, Any]:
    body = {"filename": "a.bin", "contentType": "application/octet-stream"}
    answer = await api.http.post("/api/v1/uploads/prepare", json=body)
    assert answer.status_code == 201
    return answer.json()


async def test_the_api_finishes_its_requests_when_it_is_stopped(bed: Bed) -> None:
    async with running(bed) as api:
        assert (await api.http.get("/readyz")).json() == {"status": "ready"}
        assert len((await api.http.get("/api/v1/agents")).json()["data"]) == 3
        assert "server" not in (await api.http.get("/healthz")).headers
        prepared = await prepare(api)
        has_begun, is_told = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            has_begun.set()
            await is_told.wait()
            await asyncio.sleep(0.5)
            yield b"y"

        sending = asyncio.create_task(
            api.http.put(prepared["uploadUrl"], content=slowly(), headers=prepared["headers"])
        )
        await has_begun.wait()
        await asyncio.sleep(1)  # it reads
        api.process.send_signal(signal.SIGTERM)
        is_told.set()
        assert (await sending).status_code == 200
        assert await asyncio.wait_for(api.process.wait(), 60) == 0
        assert "Traceback" not in api.log


async def test_an_address_in_use_stops_the_start_with_a_sentence(bed: Bed, api: Api) -> None:
    log = api.folder / "second"
    port = int(api.base.rpartition(":")[2])
    second = await launch(bed.settings.database_url or "", api.folder, port, log)
    assert await asyncio.wait_for(second.wait(), 60) == 1
    assert log.read_text().startswith("AGENTCONTAINER_HOST, AGENTCONTAINER_PORT: cannot listen on 127.0.0.1:")


async def test_an_upload_cut_off_leaves_nothing(api: Api) -> None:
    prepared = await prepare(api)

    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * 20_000_000
        raise ConnectionError("the client dies")

    with contextlib.suppress(ConnectionError):
        await api.http.put(prepared["uploadUrl"], content=cut(), headers=prepared["headers"])
    log = await api.logged(" 499 ")
    assert "Traceback" not in log
    assert [path for path in (api.folder / "blobs" / "uploads").rglob("*") if path.is_file()] == []
    assert (
        await api.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    ).status_code == 200


async def test_the_log_holds_no_query_and_no_key(api: Api) -> None:
    prepared = await prepare(api)
    await api.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    log = await api.logged(f"PUT /uploads/{prepared['uploadId']} 200")
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    assert key not in log
    assert "signature" not in log


async def test_too_many_bytes_are_refused_before_they_are_sent(api: Api) -> None:
    prepared = await prepare(api)
    host, _, port = api.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"PUT {prepared['uploadUrl'].removeprefix(api.base)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {10**15}\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_endless_headers_are_cut_off(api: Api) -> None:
    host, _, port = api.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    answered = asyncio.create_task(reader.readline())
    sent = 0
    while not answered.done() and sent < 10_000_000:
        writer.write(b"X: " + b"x" * 10_000 + b"\r\n")
        sent += 10_000
        await asyncio.sleep(0)
    assert sent < 10_000_000
    with contextlib.suppress(
        ConnectionResetError
    ):  # the connection is closed with unread data, which may discard the response
        assert (await asyncio.wait_for(answered, 30)).startswith(b"HTTP/1.1 4")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_task_whose_runner_is_lost_waits_again(bed: Bed, api: Api) -> None:
    body = {"instructions": "x"}
    task_id = (await api.http.post("/api/v1/agents/agt_standard_data/tasks", json=body)).json()["id"]
    lose = "UPDATE tasks SET status = 'running', attempt = 1, runner_id = 'run_lost' WHERE id = $1"
    await bed.pool.execute(lose, task_id)
    deadline = time.monotonic() + 30
    while (await api.http.get(f"/api/v1/tasks/{task_id}")).json()["status"] != "pending":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    log = (await api.http.get(f"/api/v1/tasks/{task_id}/events")).json()["data"]
    assert [event["type"] for event in log] == ["task.created", "task.requeued"]


async def test_on_all_addresses_it_serves_both_families_and_names_what_the_client_reached(bed: Bed) -> None:
    async with running(bed, host="::") as api:
        port = api.base.rpartition(":")[2]
        for reached_at in (f"http://127.0.0.1:{port}", f"http://[::1]:{port}"):
            body = {"filename": "a.bin", "contentType": "application/octet-stream"}
            answer = await api.http.post(f"{reached_at}/api/v1/uploads/prepare", json=body)
            prepared = answer.json()
            assert prepared["uploadUrl"].startswith(f"{reached_at}/uploads/")
            sent = await api.http.put(prepared["uploadUrl"], content=b"abc", headers=prepared["headers"])
            assert sent.status_code == 200
        named = await api.http.post(
            "/api/v1/uploads/prepare", json=body, headers={"Host": "attacker.example"}
        )
        assert named.json()["uploadUrl"].startswith(f"http://[::1]:{port}/uploads/")
        assert "AGENTCONTAINER_PUBLIC_URL is not set" in api.log
