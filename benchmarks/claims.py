"""How fast do 1,000 runners claim from 100,000 pending tasks?

    .venv/bin/python benchmarks/claims.py [--runners 1000] [--tasks 100000] [--accounts 200] [--connections 32]
                                          [--seconds 20]

A durable embedded PostgreSQL with the real schema and the real claim. Each runner is an asyncio task without a sandbox:
it claims a task, holds it for half a second on average, ends it and claims the next. All of them share the connections,
as behind a pooler, and the time that they wait for one is not counted. Half of the runners are of region `eu`. Shown
too: the same with 1,000 pending tasks, and how evenly the accounts were served. Takes about two minutes.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import standard
from agentcontainer.domain.tasks import queue
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.migrations.migrate import migrate

SERVICE_UID = 699_999  # PostgreSQL refuses to run as root
HOLD_SECONDS = 0.5
LOST_AFTER_SECONDS = 3600.0
IDLE_SECONDS = 0.2
ADD_TASKS = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, pending_since)
SELECT 'tsk_' || $3 || '_' || n, ($1::text[])[1 + n % cardinality($1::text[])], a.id, a.current_version_id,
    'autonomous', 'pending', 'x', jsonb_build_object('runtimeRegion', CASE WHEN n % 2 = 0 THEN 'any' ELSE 'eu' END),
    now() - make_interval(secs => n)
FROM generate_series(1, $2) AS n, agents a WHERE a.id = 'agt_standard_data'
"""
ADD_RUNNERS = """
INSERT INTO runners (id, region, host, capacity)
SELECT 'rnr_' || n, CASE WHEN n % 2 = 0 THEN 'any' ELSE 'eu' END, 'host' || n, 8 FROM generate_series(0, $1 - 1) AS n
"""
END = "UPDATE tasks SET status = 'finished', completed_at = now(), runner_id = NULL WHERE id = $1 AND attempt = $2"


Connections = asyncio.Queue[db.RawConnection]


@asynccontextmanager
async def connected(pool: Connections) -> AsyncGenerator[db.RawConnection]:
    """One of the shared connections, once it is free."""
    connection = await pool.get()
    try:
        yield connection
    finally:
        pool.put_nowait(connection)


@asynccontextmanager
async def shared_connections(url: str, count: int) -> AsyncGenerator[Connections]:
    """Connections that are prepared for claims, as a runner's is."""
    pool: Connections = asyncio.Queue()
    for _ in range(count):
        connection = await db.connect(url)
        await queue.prepare(connection)
        pool.put_nowait(connection)
    try:
        yield pool
    finally:
        while not pool.empty():
            await pool.get_nowait().close()


@dataclass
class Run:
    """The claims of one run: how long each took, and how many found nothing."""

    seconds: list[float] = field(default_factory=list)
    empty: int = 0


async def work(pool: Connections, number: int, run: Run, until: float) -> None:
    """One runner with one slot."""
    region = "any" if number % 2 == 0 else "eu"
    while time.perf_counter() < until:
        async with connected(pool) as connection:
            began_at = time.perf_counter()
            claim = await queue.claim(connection, f"rnr_{number}", region, LOST_AFTER_SECONDS)
            run.seconds.append(time.perf_counter() - began_at)
        if claim is None:
            run.empty += 1
            await asyncio.sleep(IDLE_SECONDS)
            continue
        await asyncio.sleep(random.expovariate(1 / HOLD_SECONDS))
        async with connected(pool) as connection:
            await connection.execute(END, claim.task_id, claim.attempt)


async def measure(pool: Connections, runners: int, seconds: float) -> tuple[Run, float]:
    run, began_at = Run(), time.perf_counter()
    await asyncio.gather(*(work(pool, number, run, began_at + seconds) for number in range(runners)))
    return run, time.perf_counter() - began_at


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("runners", 1000), ("tasks", 100_000), ("accounts", 200), ("connections", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-claims-", dir="/tmp"))
    postgres = Postgres(folder, service_uid=SERVICE_UID)
    if os.geteuid() == 0:
        folder.chmod(0o755)
    table = Table("pending", "claims/s", "p50 ms", "p99 ms", "longest ms", "found nothing", "accounts served")
    try:
        url = await postgres.start()
        await migrate(url)
        async with db.pool(url, max_size=4) as pool:
            await standard.install(pool)
            ids = [(await accounts.create_account(pool, name=f"a{n}"))[0] for n in range(arguments.accounts)]
            await pool.execute(ADD_RUNNERS, arguments.runners)
        for tasks in (1000 * max(1, int(arguments.seconds)), arguments.tasks):
            async with db.pool(url, max_size=4) as pool:
                await pool.execute("DELETE FROM tasks")
                await pool.execute(ADD_TASKS, ids, tasks, f"r{tasks}", timeout=600)
                await pool.execute("VACUUM ANALYZE tasks", timeout=600)
            async with shared_connections(url, arguments.connections) as connections:
                run, took = await measure(connections, arguments.runners, arguments.seconds)
            async with db.pool(url, max_size=1) as pool:
                row = await pool.fetchrow(
                    "SELECT min(ended), max(ended) FROM (SELECT count(*) FILTER (WHERE status <> 'pending') AS ended "
                    "FROM tasks GROUP BY account_id) AS a"
                )
            assert row is not None
            cuts = statistics.quantiles(run.seconds, n=100)
            found = len(run.seconds) - run.empty
            numbers = (cuts[49] * 1000, cuts[98] * 1000, max(run.seconds) * 1000)
            table.add_row(
                str(tasks), f"{found / took:.0f}", *(f"{number:.1f}" for number in numbers), str(run.empty),
                f"{row[0]} to {row[1]} tasks each",
            )  # fmt: skip
    finally:
        await postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
