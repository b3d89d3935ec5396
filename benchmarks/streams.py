"""How soon does a client learn of an event, and what does a stream cost, with many streams on one API process?

    .venv/bin/python benchmarks/streams.py [--streams 500] [--tasks 100] [--rate 200] [--seconds 20]

A real `agentcontainer api` on a durable embedded PostgreSQL of its own. This process appends events to the tasks in
turn, and follows each task with several clients over raw sockets. A delay counts from the moment COMMIT is sent. Beside
the streams, at the same rate: clients that ask for `?after=N&wait=20` (long poll), and that ask for `?after=N` each
second. Takes about two minutes.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.migrations.migrate import migrate
from tests.api_process import api_process

AGENT = "agt_standard_data"
SERVICE_UID = 699_999  # PostgreSQL refuses to run as root
EVENT = Draft("tool.completed", {"callId": "call_1", "tool": "bash", "isError": False, "output": "x" * 200})
SETTLE_SECONDS = 3
STREAMS, LONG_POLL, POLL = "event streams", "long poll, `wait=20`", "list, each second"


@dataclass
class Run:
    """When each event was committed, and how long afterwards each client received it."""

    base_url: str
    key: str
    committed: dict[tuple[str, int], float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    requests: int = 0
    clients: set[asyncio.Task[None]] = field(default_factory=set)

    def received(self, task_id: str, sequence: int) -> None:
        if (task_id, sequence) in self.committed:
            self.delays.append(time.perf_counter() - self.committed[task_id, sequence])

    def head(self, path: str) -> bytes:
        self.requests += 1
        return f"GET /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode()


class Receiver(asyncio.Protocol):
    """A client of a stream that parses event numbers only."""

    NUMBER = re.compile(rb"\nid: ([0-9]+)\n")

    def __init__(self, run: Run, task_id: str) -> None:
        self._run = run
        self._task_id = task_id
        self._rest = b""
        self.last = 0

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = 0
        for match in self.NUMBER.finditer(self._rest):
            number, end = int(match[1]), match.end()
            assert number == self.last + 1, f"{number} came after {self.last}"
            self.last = number
            self._run.received(self._task_id, number)
        self._rest = self._rest[max(end, len(self._rest) - 30) :]


async def stream(run: Run, task_id: str) -> Callable[[], int]:
    """Follow the task's stream; returns a function that tells the number of the last received event."""
    url = urlsplit(run.base_url)
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_connection(lambda: Receiver(run, task_id), url.hostname, url.port)
    transport.write(run.head(f"/tasks/{task_id}/events?stream=true"))
    while not receiver.last:
        await asyncio.sleep(0.01)
    return lambda: receiver.last


async def poll(run: Run, task_id: str, query: str, pause: float) -> Callable[[], int]:
    """Poll the list of events; returns a function that tells the number of the last received event."""
    url = urlsplit(run.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=2**20)
    last = 0

    async def ask_for_ever() -> None:
        nonlocal last
        while True:
            writer.write(run.head(f"/tasks/{task_id}/events?limit=100&after={last}{query}"))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer[9:12] == b"200", answer
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            for event in json.loads(await reader.readexactly(length))["data"]:
                last = event["sequence"]
                run.received(task_id, last)
            await asyncio.sleep(pause)

    run.clients.add(asyncio.create_task(ask_for_ever()))
    while not last:
        await asyncio.sleep(0.01)
    return lambda: last


async def write(run: Run, pool: db.Pool, task_ids: list[str], rate: float, seconds: float) -> None:
    """Append an event to each task in turn at this rate, without waiting for the previous append."""

    async def follow(task_id: str) -> None:
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            number = await events.append(connection, task_id, [EVENT])
            assert number is not None
            run.committed[task_id, number] = time.perf_counter()
            await transaction.commit()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for turn in range(int(rate * seconds)):
            await asyncio.sleep(max(0, started + turn / rate - time.perf_counter()))
            group.create_task(follow(task_ids[turn % len(task_ids)]))


async def dispatched(run: Run, count: int) -> list[str]:
    url = urlsplit(run.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    task_ids: list[str] = []
    body = json.dumps({"instructions": "Count the rows of sales.csv."}).encode()
    for _ in range(count):
        head = run.head(f"/agents/{AGENT}/tasks").replace(b"GET", b"POST", 1).removesuffix(b"\r\n")
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        task_ids.append(json.loads(await reader.readexactly(length))["id"])
    writer.close()
    return task_ids


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    delays: list[float]
    lost: int
    kilobytes: float
    cpu: float
    requests: float


async def measure(method: str, run: Run, url: str, pid: int, options: argparse.Namespace) -> Result:
    process = psutil.Process(pid)
    task_ids = await dispatched(run, options.tasks)
    async with db.pool(url) as pool:
        before = process.memory_info().rss
        followed = [task_ids[number % len(task_ids)] for number in range(options.streams)]
        if method == STREAMS:
            clients = [await stream(run, task_id) for task_id in followed]
        else:
            query, pause = ("&wait=20", 0) if method == LONG_POLL else ("", 1)
            clients = [await poll(run, task_id, query, pause) for task_id in followed]
        run.requests, cpu = 0, sum(process.cpu_times()[:2])
        await write(run, pool, task_ids, options.rate, options.seconds)
        cpu, requests = sum(process.cpu_times()[:2]) - cpu, run.requests
        await asyncio.sleep(SETTLE_SECONDS)
        rows = await pool.fetch("SELECT id, last_event_sequence FROM tasks WHERE id = ANY ($1)", task_ids)
        ends = {row["id"]: row["last_event_sequence"] for row in rows}
        memory = process.memory_info().rss - before
    lost = sum(ends[task_id] - last() for task_id, last in zip(followed, clients, strict=True))
    for client in run.clients:
        assert not client.done(), client.result()
        client.cancel()
    return Result(
        run.delays, lost, memory / options.streams / 1024, cpu / options.seconds, requests / options.seconds
    )


def show(results: dict[str, Result], args: argparse.Namespace) -> None:
    title = (
        f"{args.streams} clients of {args.tasks} tasks, {args.rate} events a second for {args.seconds} s; one API "
        f"process, {os.cpu_count()} CPUs shared with PostgreSQL, the writer and the clients"
    )
    table = Table(title=title)
    for column in (
        "what",
        "p50 ms",
        "p99 ms",
        "ratio of p50",
        "lost",
        "requests/s",
        "CPU of the API",
        "KB a client",
    ):
        table.add_column(column, justify="left" if column == "what" else "right")
    base = statistics.median(results[STREAMS].delays)
    for method, result in results.items():
        p50, *_, p99 = statistics.quantiles(result.delays, n=100)[49::49]
        table.add_row(
            method, f"{p50 * 1000:.1f}", f"{p99 * 1000:.1f}", f"{p50 / base:.1f}", str(result.lost),
            f"{result.requests:.0f}", f"{result.cpu:.0%}", f"{result.kilobytes:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)


async def prepared(url: str) -> str:
    """Create the schema and an account with credit; returns its API key."""
    await migrate(url)
    async with db.pool(url) as pool:
        _, key = await accounts.create_account(pool, name="Benchmark", credit_micro_usd=10**13)
    return key


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("streams", 500), ("tasks", 100), ("rate", 200), ("seconds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    server = Postgres(folder / "postgres", service_uid=SERVICE_UID)
    results: dict[str, Result] = {}
    try:
        url = asyncio.run(server.start())
        key = asyncio.run(prepared(url))
        for number, method in enumerate((STREAMS, LONG_POLL, POLL)):
            (folder / f"api{number}").mkdir()
            with api_process(url, folder / f"api{number}", log_level="warning") as (base_url, pid):
                results[method] = asyncio.run(measure(method, Run(base_url, key), url, pid, options))
        show(results, options)
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
