"""What does the live text of agents cost the database, without followers and with one stream for each agent?

    .venv/bin/python benchmarks/live_text.py [--agents 100] [--seconds 10]

A real `agentcontainer api` on a durable embedded PostgreSQL of its own. This process is the part of a runner that logs
what agents say: each of them adds 60 characters every 30 ms. Followers read over raw sockets. Takes about a minute.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import standard
from agentcontainer.domain.tasks import deltas
from agentcontainer.domain.tasks.events import LogSize
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.ids import new_id
from agentcontainer.migrations.migrate import migrate
from agentcontainer.runner.live_text import LiveText
from agentcontainer.runner.log import EventLog
from tests.api_process import api_process
from tests.event_stream import Stream
from tests.integration.domain.conftest import EXECUTION

SERVICE_UID = 699_999  # PostgreSQL refuses to run as root
DELTA_SECONDS = 0.03
WORDS = "and so the answer to the question becomes clearer "
SETTLE_SECONDS = 3  # the statistics of PostgreSQL are late
INSERT_TASKS = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, attempt, instructions, execution)
SELECT task_id, $2, a.id, a.current_version_id, 'autonomous', 'running', 1, 'Do it.', $3
FROM agents a, unnest($1::text[]) AS task_id WHERE a.id = 'agt_standard_data'
"""
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass
class Result:
    """A row of the table."""

    commits: float
    postgres: float
    api: float
    runner: float
    sent: int
    delays: list[float] = field(default_factory=list)


@asynccontextmanager
async def speaking(pool: db.Pool, url: str, task_ids: list[str]) -> AsyncIterator[list[EventLog]]:
    """The logs of agents that run on one runner."""
    live_text = LiveText(pool)
    logs = [EventLog(pool, Claim(task_id, 1), LogSize(10**6, 10**9), live_text) for task_id in task_ids]
    loops = [
        live_text.run(), db.listen(url, {deltas.FOLLOW_CHANNEL: live_text.on_announcement}),
        *(log.run() for log in logs),
    ]  # fmt: skip
    tasks = [asyncio.create_task(loop) for loop in loops]
    yield logs
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def speak(log: EventLog, number: int, seconds: float) -> int:
    """Add text at an agent's pace; each piece begins with the time."""
    end, count = time.perf_counter() + seconds, 0
    await asyncio.sleep(DELTA_SECONDS * (number % 10) / 10)
    while time.perf_counter() < end:
        log.add_delta(f"{time.perf_counter():.4f} {WORDS}")
        count += 1
        await asyncio.sleep(DELTA_SECONDS)
    return count


async def read(stream: Stream, delays: list[float]) -> None:
    async for frame in stream.events():
        for piece in frame.data["data"]["content"].split(WORDS)[:-1]:
            delays.append(time.perf_counter() - float(piece))


def cpu_seconds(pid: int) -> float:
    """Of a process and its children."""
    process = psutil.Process(pid)
    times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    return sum(time_.user + time_.system for time_ in times)


async def measure(url: str, api: tuple[str, int], key: str, task_ids: list[str], postgres_pid: int, *,
                  seconds: float, is_followed: bool) -> Result:  # fmt: skip
    base_url, api_pid = api
    delays: list[float] = []
    async with db.pool(url) as pool, speaking(pool, url, task_ids) as logs:
        streams = [
            await Stream.open(base_url, f"/api/v1/tasks/{task_id}/events?stream=true", key)
            for task_id in (task_ids if is_followed else [])
        ]
        readers = [asyncio.create_task(read(stream, delays)) for stream in streams]
        await asyncio.sleep(SETTLE_SECONDS)
        pids = (postgres_pid, api_pid, os.getpid())
        commits, cpu = await pool.fetchval(COMMITS), [cpu_seconds(pid) for pid in pids]
        started = time.perf_counter()
        sent = sum(await asyncio.gather(*(speak(log, n, seconds) for n, log in enumerate(logs))))
        elapsed = time.perf_counter() - started
        cpu = [(cpu_seconds(pid) - before) / elapsed for pid, before in zip(pids, cpu, strict=True)]
        await asyncio.sleep(SETTLE_SECONDS)
        commits = await pool.fetchval(COMMITS) - commits
        for reader, stream in zip(readers, streams, strict=True):
            reader.cancel()
            stream.cut()
        await asyncio.gather(*readers, return_exceptions=True)
    return Result(commits / (elapsed + SETTLE_SECONDS), *cpu, sent, delays)


async def prepared(url: str, agents: int) -> tuple[str, list[str]]:
    """Create the schema, an account and running tasks; returns its API key and their ids."""
    await migrate(url)
    task_ids = [new_id("tsk") for _ in range(agents)]
    async with db.pool(url) as pool:
        account_id, key = await accounts.create_account(pool, name="Benchmark", credit_micro_usd=0)
        await standard.install(pool)
        await pool.execute(INSERT_TASKS, task_ids, account_id, EXECUTION)
        await pool.execute("INSERT INTO runners (id, region, host, capacity, heartbeat_at) "
                           "VALUES ('run_benchmark', 'any', 'here', 1, now() + interval '1 day')")  # fmt: skip
        await pool.execute("UPDATE tasks SET runner_id = 'run_benchmark'")
    return key, task_ids


def show(results: dict[str, Result], options: argparse.Namespace) -> None:
    title = (
        f"{options.agents} agents that stream text for {options.seconds} s; one API process, {os.cpu_count()} CPUs "
        "shared with PostgreSQL, the runner and the clients"
    )
    table = Table(title=title)
    columns = (
        "followers", "pieces said/s", "commits/s", "CPU of PostgreSQL", "of the API", "of the runner", "p50 ms",
        "p99 ms", "shown",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for name, result in results.items():
        p50, *_, p99 = statistics.quantiles(result.delays or [0, 0], n=100)[49::49]
        table.add_row(
            name, f"{result.sent / options.seconds:.0f}", f"{result.commits:.0f}",
            *(f"{share:.0%}" for share in (result.postgres, result.api, result.runner)),
            *((f"{p50 * 1000:.0f}", f"{p99 * 1000:.0f}") if result.delays else ("", "")),
            f"{len(result.delays) / result.sent:.1%}",
        )  # fmt: skip
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    server = Postgres(folder / "postgres", service_uid=SERVICE_UID)
    results: dict[str, Result] = {}
    try:
        url = asyncio.run(server.start())
        key, task_ids = asyncio.run(prepared(url, options.agents))
        pid = int((folder / "postgres/postgres/data/postmaster.pid").read_text().split()[0])
        (folder / "api").mkdir()
        with api_process(url, folder / "api", log_level="warning") as api:
            for name, is_followed in (("none", False), ("one stream each", True)):
                results[name] = asyncio.run(measure(
                    url, api, key, task_ids, pid, seconds=options.seconds, is_followed=is_followed
                ))  # fmt: skip
        show(results, options)
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
