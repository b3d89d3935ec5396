"""A real API process whose event streams are followed, and functions that append to the event logs."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcontainer import db
from agentcontainer.domain.tasks import deltas, events
from agentcontainer.domain.tasks.event_data import Draft
from tests.api_bed import Account, Bed
from tests.api_process import SECRET_KEY, api_process
from tests.event_stream import Frame, Stream


@dataclass(frozen=True)
class Api:
    """An API process and its log file."""

    base_url: str
    pid: int
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    async def follow(self, task_id: str, account: Account, query: str = "", **options: Any) -> Stream:
        path = f"/api/v1/tasks/{task_id}/events?stream=true{query}"
        stream = await Stream.open(self.base_url, path, account.key, **options)
        assert stream.status == 200, await stream.body()
        return stream

    async def list(self, task_id: str, account: Account, **query: Any) -> list[dict[str, Any]]:
        """The whole event log, read page by page."""
        events: list[dict[str, Any]] = []
        url, headers = (
            f"{self.base_url}/api/v1/tasks/{task_id}/events",
            {"Authorization": f"Bearer {account.key}"},
        )
        async with httpx2.AsyncClient(headers=headers, trust_env=False, verify=False, timeout=60) as http:
            while True:
                answer = await http.get(url, params={"after": len(events), "limit": 100} | query)
                assert answer.status_code == 200, answer.text
                page = answer.json()
                events += page["data"]
                if not page["pageInfo"]["hasMore"]:
                    return events


@contextmanager
def serving(bed: Bed, folder: Path, database_url: str | None = None, /, **constants: object) -> Iterator[Api]:
    """An API process with these constants of `stream` and `hub`, which reaches the database by this URL."""
    folder.mkdir(exist_ok=True)
    lines = ["from agentcontainer.api import hub; from agentcontainer.api.http import sse as stream"]
    lines += [f"{name.replace('__', '.')} = {value!r}" for name, value in constants.items()]
    url = database_url or bed.settings.database_url
    assert url
    settings = {
        "secret_key": SECRET_KEY,
        "storage_url": bed.settings.storage_url,
        "log_level": "info",
        "allowed_hosts": "box.lan",
    }
    with api_process(url, folder, "\n".join(lines), **settings) as (base_url, pid):
        yield Api(base_url, pid, folder / "api.log")


@pytest.fixture(scope="session")
def api(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One process for all tests that do not stop or change it."""
    with serving(bed, tmp_path_factory.mktemp("api")) as running:
        yield running


async def append(bed: Bed, task_id: str, *drafts: tuple[str, dict[str, Any]]) -> None:
    async with db.transaction(bed.pool) as connection:
        await events.append(connection, task_id, [Draft(type_, data) for type_, data in drafts])


async def tools(bed: Bed, task_id: str, count: int, size: int = 10) -> None:
    """Append `count` events of this size in one transaction."""
    await append(bed, task_id, *(("tool.started", {"callId": "x" * size, "n": n}) for n in range(count)))


async def delta(bed: Bed, task_id: str, after: int, content: str) -> None:
    payload = json.dumps({"taskId": task_id, "after": after, "data": {"content": content}})
    await bed.pool.execute("SELECT pg_notify($1, $2)", deltas.CHANNEL, payload)


async def within(seconds: float, awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, seconds)


def digest(log: Sequence[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(log), sort_keys=True).encode()).hexdigest()


async def all_of(frames: AsyncIterator[Frame]) -> list[Frame]:
    return [frame async for frame in frames]
