"""Large files are streamed through the API with little memory, measured on a real `agentcontainer api`."""

import hashlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from tests.ports import free_port

MB = 1024 * 1024
MAX_GROWTH = 150 * MB
CHUNK = os.urandom(MB)


@dataclass(frozen=True)
class Api:
    """An API process and a client."""

    process: psutil.Process
    http: httpx2.Client

    @contextmanager
    def watched(self, label: str, megabytes: int) -> Iterator[None]:
        """Holds the block to `MAX_GROWTH` of memory at its peak, and prints its speed."""
        before = peak = self.process.memory_info().rss
        is_over = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not is_over.wait(0.01):
                peak = max(peak, self.process.memory_info().rss)

        sampler = threading.Thread(target=sample)
        sampler.start()
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            is_over.set()
            sampler.join()
        growth = peak - before
        print(
            f"\n{label}: {megabytes} MB at {megabytes / seconds:.0f} MB/s, {growth / MB:.0f} MB more memory"
        )
        assert growth < MAX_GROWTH


@pytest.fixture
async def api(database_url: str, pool: Pool, short_dir: Path) -> AsyncIterator[Api]:
    _, key = await accounts.create_account(pool, name="Test")
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    environment = inherited | {
        "AGENTCONTAINER_DATA_DIR": str(short_dir),
        "AGENTCONTAINER_DATABASE_URL": database_url,
        "AGENTCONTAINER_SECRET_KEY": secrets.token_hex(32),
        "AGENTCONTAINER_PORT": str(port),
    }
    command = [sys.executable, "-m", "agentcontainer.cli.main", "api"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60
        ) as http:
            wait_ready(process, http)
            yield Api(psutil.Process(process.pid), http)
    finally:
        process.kill()
        process.wait()


def wait_ready(process: subprocess.Popen[bytes], http: httpx2.Client) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.05)


@pytest.mark.parametrize("megabytes", [200, pytest.param(2048, marks=pytest.mark.long)])
def test_a_large_upload_and_download_use_little_memory(api: Api, megabytes: int) -> None:
    body = {"filename": "a", "contentType": "application/x", "sizeBytes": megabytes * MB}
    prepared = api.http.post("/api/v1/uploads/prepare", json=body).json()
    sent, received = hashlib.sha256(), hashlib.sha256()

    def content() -> Iterator[bytes]:
        for number in range(megabytes):
            chunk = number.to_bytes(8) + CHUNK[8:]
            sent.update(chunk)
            yield chunk

    with api.watched("upload", megabytes):
        headers = prepared["headers"] | {"Content-Length": str(megabytes * MB)}
        assert api.http.put(prepared["uploadUrl"], content=content(), headers=headers).status_code == 200
    done = api.http.post("/api/v1/uploads/complete", json={"uploadId": prepared["uploadId"]})
    file = done.json()
    assert file["sha256"] == sent.hexdigest()
    with (
        api.watched("download", megabytes),
        api.http.stream("GET", f"/api/v1/files/{file['id']}/content") as answer,
    ):
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            received.update(chunk)
    assert received.hexdigest() == sent.hexdigest()


def test_a_client_that_stops_reading_uses_little_memory(api: Api) -> None:
    body = {"filename": "a", "contentType": "application/x"}
    prepared = api.http.post("/api/v1/uploads/prepare", json=body).json()
    api.http.put(prepared["uploadUrl"], content=(CHUNK for _ in range(300)), headers=prepared["headers"])
    file = api.http.post("/api/v1/uploads/complete", json={"uploadId": prepared["uploadId"]}).json()
    url = f"/api/v1/files/{file['id']}/content"
    with api.watched("stalled downloads", 0), api.http.stream("GET", url), api.http.stream("GET", url):
        time.sleep(1)
