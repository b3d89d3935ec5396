"""How soon does a free runner claim a dispatched task?

    .venv/bin/python benchmarks/dispatch_to_claim.py [--dispatches 500] [--pending 100000]

The real dispatch, and the runner's real claim loop in a process of its own, on a durable embedded PostgreSQL. There is
no sandbox: a claimed task is held for a moment and ended. Dispatches come at random times, 20 a second on average. A
trigger records when the task's row was inserted, before the dispatch commits, and when it was claimed. Three runs:
with an empty queue, beside a runner whose slots are full, and with 100,000 pending tasks that this runner may not
take, because they are of another region. Takes about two minutes.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.tasks import creation, runners
from agentcontainer.domain.tasks.model import Claim, Dispatch
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.migrations.migrate import migrate
from agentcontainer.runner.claiming import ClaimLoop
from agentcontainer.runner.slot import Slots
from agentcontainer.settings import Settings

SERVICE_UID = 699_999  # PostgreSQL refuses to run as root
AGENT = "agt_standard_data"
FREE, FULL = "rnr_free", "rnr_full"
CAPACITY = {FREE: 32, FULL: 4}
HOLD_SECONDS = {FREE: 0.2, FULL: 3600.0}
SECONDS_APART = 0.05
START_SECONDS = 3.0
TRIGGER = """
CREATE TABLE waits (task_id text PRIMARY KEY, inserted_at timestamptz NOT NULL, claimed_at timestamptz);
CREATE FUNCTION record_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN INSERT INTO waits VALUES (NEW.id, clock_timestamp());
    ELSE UPDATE waits SET claimed_at = clock_timestamp() WHERE task_id = NEW.id; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION record_wait();
CREATE TRIGGER record_claim AFTER UPDATE OF status ON tasks FOR EACH ROW
    WHEN (OLD.status = 'pending' AND NEW.status = 'running') EXECUTE FUNCTION record_wait();
"""
ADD_PENDING = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution)
SELECT 'tsk_' || lpad(n::text, 26, '0'), $1, a.id, a.current_version_id, 'autonomous', 'pending', 'x',
    '{"runtimeRegion": "eu"}' FROM generate_series(1, $2) AS n, agents a WHERE a.id = 'agt_standard_data'
"""
COUNT_PENDING = """
INSERT INTO account_queues (account_id, queued, ready_eu) VALUES ($1, $2, $2)
ON CONFLICT (account_id) DO UPDATE SET queued = excluded.queued, ready_eu = excluded.ready_eu
"""
END = "UPDATE tasks SET status = 'finished', completed_at = now(), runner_id = NULL WHERE id = $1 AND attempt = $2"


def load(url: str) -> Settings:
    return settings.load(
        data_dir=Path("/tmp"), database_url=url, secret_key="k" * 32, runner_lost_after_seconds=3600
    )


async def run_runner(url: str, runner_id: str) -> None:
    """Claim tasks for the slots of this runner, until killed."""
    slots = Slots(CAPACITY[runner_id])
    holding: set[asyncio.Task[None]] = set()
    async with db.pool(url, max_size=4) as pool:
        await runners.register(pool, runner_id, "any", "here", CAPACITY[runner_id])

        async def hold(claim: Claim) -> None:
            await asyncio.sleep(HOLD_SECONDS[runner_id])
            await pool.execute(END, claim.task_id, claim.attempt)
            slots.release(claim)
            loop.wake()

        def start(claim: Claim) -> None:
            slots.occupy(claim)
            task = asyncio.create_task(hold(claim))
            holding.add(task)
            task.add_done_callback(holding.discard)

        loop = ClaimLoop(
            load(url), runner_id, "any", slots, may_claim=lambda: True, has_room=lambda: True, start=start,
            find_unstarted=lambda claims: claims,
        )  # fmt: skip
        await loop.run()


async def started(url: str, runner_id: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, __file__, "--runner", runner_id, "--url", url)


async def dispatch(pool: Pool, url: str, account_id: str, count: int) -> list[str]:
    """Dispatch so many tasks at random times; returns their ids once all have been claimed."""
    dispatching: list[asyncio.Task[str]] = []

    async def one() -> str:
        request = Dispatch("Count the rows.")
        return (await creation.dispatch(pool, load(url), Vault("k" * 32), account_id, AGENT, request)).id

    for _ in range(count):
        await asyncio.sleep(random.expovariate(1 / SECONDS_APART))
        dispatching.append(asyncio.create_task(one()))
    task_ids = list(await asyncio.gather(*dispatching))
    query = "SELECT count(*) FROM waits WHERE task_id = ANY($1::text[]) AND claimed_at IS NULL"
    while await pool.fetchval(query, task_ids):
        await asyncio.sleep(0.1)
    return task_ids


async def waits(pool: Pool, task_ids: list[str]) -> list[float]:
    rows = await pool.fetch("SELECT * FROM waits WHERE task_id = ANY($1::text[])", task_ids)
    return [(row["claimed_at"] - row["inserted_at"]).total_seconds() for row in rows]


async def measure(url: str, dispatches: int, pending: int, table: Table) -> None:
    async with db.pool(url, max_size=8) as pool:
        await standard.install(pool)
        await pool.execute(TRIGGER)
        own, other = [
            (await accounts.create_account(pool, name=name, credit_micro_usd=10**12))[0]
            for name in ("a", "b")
        ]
        free = await started(url, FREE)
        processes = [free]
        try:
            for name in ("empty queue", "beside a full runner", f"{pending} tasks of another region pending"):
                if name.startswith("beside"):
                    processes.append(await started(url, FULL))
                    await asyncio.sleep(START_SECONDS)
                elif pending and name.startswith(str(pending)):
                    await add_pending(pool, other, pending)
                await dispatch(pool, url, own, 30)  # fills caches, and the slots of the full runner
                seconds = await waits(pool, await dispatch(pool, url, own, dispatches))
                cuts = statistics.quantiles(seconds, n=100)
                cells = (cuts[49], cuts[98], max(seconds))
                table.add_row(name, str(len(seconds)), *(f"{cell * 1000:.1f}" for cell in cells))
        finally:
            for process in processes:
                process.kill()
                await process.wait()


async def add_pending(pool: Pool, account_id: str, count: int) -> None:
    """Insert pending tasks without triggers, then their counters."""
    async with db.transaction(pool) as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(ADD_PENDING, account_id, count, timeout=600)
        await connection.execute(COUNT_PENDING, account_id, count)
    await pool.execute("VACUUM ANALYZE tasks", timeout=600)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dispatches", type=int, default=500)
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--runner", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.runner:
        await run_runner(arguments.url, arguments.runner)
        return
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    postgres = Postgres(folder, service_uid=SERVICE_UID)
    table = Table("queue", "dispatches", "p50 ms", "p99 ms", "longest ms")
    try:
        url = await postgres.start()
        await migrate(url)
        await measure(url, arguments.dispatches, arguments.pending, table)
    finally:
        await postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
