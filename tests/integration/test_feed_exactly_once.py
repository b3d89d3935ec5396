"""Every reader of a feed gets every entry once and in order, although writers commit late and sequencers are killed."""

import asyncio
import os
import random
import secrets
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import standard
from agentcontainer.domain.feed.sequencer import LOCK
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.ids import new_id
from tests.api_process import api_process
from tests.event_stream import Stream
from tests.integration.domain.conftest import EXECUTION

LONGEST_COMMIT_SECONDS = 0.3
STARTED = Draft("task.started", {"status": "running", "attempt": 1})
INSERT_TASKS = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution)
SELECT task_id, $2, a.id, a.current_version_id, 'autonomous', 'pending', 'Do it.', $3
FROM agents a, unnest($1::text[]) AS task_id WHERE a.id = 'agt_standard_data'
"""
LEADER = """
SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = $1::bigint AND objsubid = 1
    AND datname = current_database() AND application_name LIKE 'agentcontainer feed %'
"""


class Installation:
    """API processes on one database. Any may be killed, and another is started in its place."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self._url = url
        self._folder = folder
        self._stack = stack
        self._started = 0
        self._secret_key = secrets.token_hex(32)
        self.base_urls: dict[int, str] = {}

    async def start(self) -> None:
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        process = api_process(self._url, folder, secret_key=self._secret_key)
        base_url, pid = await asyncio.to_thread(self._stack.enter_context, process)
        self.base_urls[pid] = base_url

    async def kill_sequencer(self, pool: Pool) -> None:
        """Kill the API process that numbers the feed, once there is one."""
        while (name := await pool.fetchval(LEADER, LOCK)) is None:
            await asyncio.sleep(0.05)
        pid = int(name.split()[-1])
        del self.base_urls[pid]
        os.kill(pid, signal.SIGKILL)


@dataclass
class Reader:
    """Follows the feed through any process, and goes on after its last entry when its stream ends."""

    installation: Installation
    key: str
    entries: list[dict[str, Any]] = field(default_factory=list)
    received_at: dict[str, float] = field(default_factory=dict)

    async def read(self) -> None:
        while True:
            base_url = random.choice(list(self.installation.base_urls.values()))
            with suppress(OSError, asyncio.IncompleteReadError):
                after = len(self.entries)
                async with await Stream.open(
                    base_url, f"/api/v1/events?stream=true&after={after}", self.key
                ) as stream:
                    assert stream.status == 200, await stream.body()
                    async for frame in stream.events():
                        self.entries.append(frame.data)
                        self.received_at[frame.data["id"]] = time.monotonic()
            await asyncio.sleep(0.02)


@dataclass
class Writers:
    """Write events of any of the tasks, and wait a moment before they commit."""

    pool: Pool
    task_ids: list[str]
    committed_at: dict[str, float] = field(default_factory=dict)
    is_over: bool = False

    async def write(self) -> None:
        while not self.is_over:
            ids = [new_id("evt") for _ in range(random.randint(1, 3))]
            async with self.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await events.append(connection, random.choice(self.task_ids), [STARTED] * len(ids), ids=ids)
                await asyncio.sleep(random.random() * LONGEST_COMMIT_SECONDS)
                if random.random() < 0.1:
                    await transaction.rollback()
                    continue
                await transaction.commit()
            self.committed_at |= dict.fromkeys(ids, time.monotonic())


@pytest.mark.parametrize(
    ("writers", "tasks", "kills", "max_delay_seconds"),
    [(8, 50, 1, 10.0), pytest.param(32, 200, 10, 1.0, marks=pytest.mark.long)],
)
async def test_while_the_sequencer_is_killed(
    pool: Pool, database_url: str, short_dir: Path, writers: int, tasks: int, kills: int, max_delay_seconds: float
) -> None:  # fmt: skip
    account_id, key = await accounts.create_account(pool, name="Test", credit_micro_usd=0)
    await standard.install(pool)
    task_ids = [new_id("tsk") for _ in range(tasks)]
    await pool.execute(INSERT_TASKS, task_ids, account_id, EXECUTION)
    background: list[asyncio.Task[None]] = []
    with ExitStack() as stack:
        installation = Installation(database_url, short_dir, stack)
        await asyncio.gather(installation.start(), installation.start())
        readers = [Reader(installation, key) for _ in range(4)]
        try:
            async with db.pool(database_url, max_size=writers) as own_pool:
                writing = Writers(own_pool, task_ids)
                background = [asyncio.create_task(reader.read()) for reader in readers]
                busy = [asyncio.create_task(writing.write()) for _ in range(writers)]
                for _ in range(kills):
                    await asyncio.sleep(0.5 + random.random())
                    await installation.kill_sequencer(pool)
                    await installation.start()
                await asyncio.sleep(1)
                writing.is_over = True
                await asyncio.gather(*busy)
            async with asyncio.timeout(10):
                while any(len(reader.entries) < len(writing.committed_at) for reader in readers):
                    await asyncio.sleep(0.1)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
    for reader in readers:
        check(reader, writing)
    delays = sorted(
        reader.received_at[id_] - committed for reader in readers for id_, committed in writing.committed_at.items()
    )  # fmt: skip
    print(
        f"\n{len(writing.committed_at)} entries, {len(readers)} readers, {kills} kills: p50 "
        f"{delays[len(delays) // 2] * 1000:.0f} ms, p99 {delays[len(delays) * 99 // 100] * 1000:.0f} ms, "
        f"max {delays[-1] * 1000:.0f} ms"
    )
    assert delays[-1] < max_delay_seconds


def check(reader: Reader, writing: Writers) -> None:
    assert [entry["position"] for entry in reader.entries] == list(range(1, len(writing.committed_at) + 1))
    assert {entry["id"] for entry in reader.entries} == set(writing.committed_at)
    last: dict[str, int] = {}
    for entry in reader.entries:
        assert entry["data"]["sequence"] == last.get(entry["taskId"], 0) + 1
        last[entry["taskId"]] = entry["data"]["sequence"]
