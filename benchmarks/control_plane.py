"""How many requests a second does one API process answer, and how fast, with everything on?

    .venv/bin/python benchmarks/control_plane.py

A real `agentcontainer api` on a durable embedded PostgreSQL of its own; no runner, so that tasks stay pending. A
dispatch passes API key, rate limit, validation, Idempotency-Key, ledger, task, event and queue. The clients are raw
sockets in this process. Beside it: `GET /healthz`, which is the HTTP server alone, and a transaction of two INSERTs
without any server of ours, on as many connections as the API has. Takes under a minute.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.migrations.migrate import migrate
from tests.api_process import api_process

CLIENTS = (1, 16, 64)
ROUNDS = 3
SECONDS = 0.9
CONNECTIONS = 10  # as the API's pool
AGENT = "agt_standard_data"
SERVICE_UID = 699_999  # PostgreSQL refuses to run as root
HEALTH, ONE, LIST, DISPATCH, INSERTS = (
    "GET /healthz",
    "GET /tasks/{id}",
    "GET /tasks?limit=20",
    "POST /agents/{id}/tasks",
    "two INSERTs, bare",
)
BESIDE = {ONE: HEALTH, LIST: HEALTH, DISPATCH: INSERTS}

Ask = Callable[[], Awaitable[None]]
Connect = Callable[[], Awaitable[Ask]]


@dataclass
class Measured:
    """The rate of each round, and how long each request took."""

    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


async def measure(connect: Connect, clients: int, into: Measured) -> None:
    """One round: each client sends its next request when it has the response."""
    requests = [await connect() for _ in range(clients)]
    started = time.perf_counter()
    completed = 0

    async def client(request: Ask) -> None:
        nonlocal completed
        while (sent_at := time.perf_counter()) - started < SECONDS:
            await request()
            into.seconds.append(time.perf_counter() - sent_at)
            completed += 1

    await asyncio.gather(*(client(request) for request in requests))
    into.rates.append(completed / (time.perf_counter() - started))


@dataclass
class Http:
    """Send requests over persistent connections without a client library, so that only the API is measured."""

    base_url: str
    key: str
    count: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def request(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        body: bytes = b"",
    ) -> bytes:
        self.count += 1
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            head += f"Idempotency-Key: k{self.count}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        assert status in (200, 201), content
        return content

    def connecting(self, method: str, path: str, body: bytes = b"") -> Connect:
        async def connect() -> Ask:
            url = urlsplit(self.base_url)
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            self.writers.append(writer)

            async def request() -> None:
                await self.request(reader, writer, method, path, body)

            return request

        return connect

    async def once(self, method: str, path: str, body: bytes = b"") -> bytes:
        url = urlsplit(self.base_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        self.writers.append(writer)
        return await self.request(reader, writer, method, path, body)

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


def inserting(pool: db.Pool) -> Connect:
    """A row with a task's size, and a second one, committed."""
    row = {"instructions": "Count the rows of sales.csv.", "metadata": {"order": "42"}}

    async def connect() -> Ask:
        async def request() -> None:
            async with db.transaction(pool) as connection:
                await connection.execute("INSERT INTO bench_tasks (body) VALUES ($1)", row)
                await connection.execute("INSERT INTO bench_events (body) VALUES ($1)", row)

        return request

    return connect


async def measure_all(base_url: str, key: str, url: str) -> dict[tuple[str, int], Measured]:
    body = json.dumps(
        {
            "instructions": "Count the rows of sales.csv.",
            "metadata": {"order": "42"},
            "overrides": {"maxRuntimeSeconds": 60},
        }
    ).encode()
    http = Http(base_url, key)
    path = f"/api/v1/agents/{AGENT}/tasks"
    task_id = json.loads(await http.once("POST", path, body))["id"]
    async with db.pool(url, max_size=CONNECTIONS) as pool:
        for name in ("bench_tasks", "bench_events"):
            await pool.execute(
                f"CREATE TABLE {name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body jsonb)"
            )
        ways = {
            HEALTH: http.connecting("GET", "/healthz"),
            ONE: http.connecting("GET", f"/api/v1/tasks/{task_id}"),
            LIST: http.connecting("GET", "/api/v1/tasks?limit=20"),
            DISPATCH: http.connecting("POST", path, body),
            INSERTS: inserting(pool),
        }
        results = {(operation, clients): Measured() for operation in ways for clients in CLIENTS}
        for _ in range(ROUNDS):
            for (operation, clients), measured in results.items():
                await measure(ways[operation], clients, measured)
    http.close()
    return results


def show(results: dict[tuple[str, int], Measured]) -> None:
    title = f"One API process, {os.cpu_count()} CPUs shared with PostgreSQL and the clients; medians of {ROUNDS} rounds"
    table = Table(title=title)
    for column in ("what", "clients", "a second", "p50 ms", "p99 ms", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for (operation, clients), measured in results.items():
        ratio = (
            f"{measured.rate / results[BESIDE[operation], clients].rate:.2f}" if operation in BESIDE else "1"
        )
        p50, *_, p99 = statistics.quantiles(measured.seconds, n=100)[49::49]
        table.add_row(
            operation, str(clients), f"{measured.rate:.0f}", f"{p50 * 1000:.1f}", f"{p99 * 1000:.1f}", ratio
        )
    Console().print(table)
    Console().print("ratio: of the rate, to GET /healthz for what reads, to the two INSERTs for the dispatch")


async def prepared(url: str) -> str:
    """Create the schema and an account with credit; returns its API key."""
    await migrate(url)
    async with db.pool(url) as pool:
        _, key = await accounts.create_account(pool, name="Benchmark", credit_micro_usd=10**13)
    return key


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    server = Postgres(folder / "postgres", service_uid=SERVICE_UID)
    try:
        url = asyncio.run(server.start())
        key = asyncio.run(prepared(url))
        (folder / "api").mkdir()
        with api_process(url, folder / "api", log_level="info") as (base_url, _):
            results = asyncio.run(measure_all(base_url, key, url))
        show(results)
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
