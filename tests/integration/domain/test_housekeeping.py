"""One process does the housekeeping; when it dies, another takes over within seconds."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import asyncpg
import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.housekeeping.leader import LOCK_ID, lead
from agentcontainer.telemetry import metrics

TAKE_OVER_SECONDS = 8.0  # 2 of the candidates, and as much as a busy machine may need
ADVISORY_LOCKS = """
FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LEADERS_LOCK = f"{ADVISORY_LOCKS} AND objid = $1::bigint::oid"
LEADER = """
import asyncio, sys
from agentcontainer import db
from agentcontainer.domain.housekeeping.leader import lead

async def work():
    print("leads", flush=True)
    await asyncio.sleep(3600)

async def main():
    async with db.pool(sys.argv[1]) as pool:
        await lead(sys.argv[1], pool, lambda: [work()], lambda: None)

asyncio.run(main())
"""


class Candidate:
    """A process that may lead, as a task of this one."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.leads = False
        self.outages = 0
        self.task = asyncio.create_task(lead(url, pool, self._loops, self._on_outage))

    def _loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        return [self._work()]

    async def _work(self) -> None:
        self.leads = True
        try:
            await asyncio.sleep(3600)
        finally:
            self.leads = False

    def _on_outage(self) -> None:
        self.outages += 1


@pytest.fixture
async def candidates(database_url: str, pool: Pool) -> AsyncIterator[list[Candidate]]:
    started = [Candidate(database_url, pool) for _ in range(3)]
    yield started
    for candidate in started:
        candidate.task.cancel()
    await asyncio.gather(*(candidate.task for candidate in started), return_exceptions=True)


async def leader_of(candidates: list[Candidate]) -> Candidate:
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while time.monotonic() < deadline:
        if leading := [candidate for candidate in candidates if candidate.leads]:
            assert len(leading) == 1
            return leading[0]
        await asyncio.sleep(0.05)
    raise AssertionError("nobody leads")


async def test_one_leads_and_the_others_wait(candidates: list[Candidate], pool: Pool) -> None:
    leader = await leader_of(candidates)
    assert metrics.registry_of().get_sample_value("agentcontainer_leader") == 1
    await asyncio.sleep(2.5)
    assert await leader_of(candidates) is leader
    assert await pool.fetchval(f"SELECT count(*) {ADVISORY_LOCKS}") == 1


async def test_another_takes_over_when_the_leader_stops(candidates: list[Candidate]) -> None:
    first = await leader_of(candidates)
    first.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first.task
    assert not first.leads
    assert metrics.registry_of().get_sample_value("agentcontainer_leader") == 0
    assert await leader_of(candidates) is not first


async def test_a_leader_whose_connection_is_lost_stops_its_work(
    candidates: list[Candidate], pool: Pool
) -> None:
    first = await leader_of(candidates)
    assert await pool.fetchval(f"SELECT pg_terminate_backend(pid) {LEADERS_LOCK}", LOCK_ID & 0xFFFFFFFF)
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while first.outages == 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await leader_of(candidates)


async def test_another_process_takes_over_when_the_leader_is_killed(database_url: str, pool: Pool) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEADER, database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"leads\n"
    candidate = Candidate(database_url, pool)
    await asyncio.sleep(2.5)
    assert not candidate.leads
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await leader_of([candidate])
    candidate.task.cancel()
    with contextlib.suppress(asyncio.CancelledError, asyncpg.PostgresError, *db.UNREACHABLE):
        await candidate.task
