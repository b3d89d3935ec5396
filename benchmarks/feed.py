"""How soon is a committed event in the account's feed, with many writers that commit late?

    .venv/bin/python benchmarks/feed.py [--writers 32] [--tasks 200] [--seconds 20]

Two real `agentcontainer api` processes on a durable embedded PostgreSQL of its own. The writers in this process append
events to the tasks of one account and wait for up to 0.3 s before each COMMIT. A delay counts from the answer to COMMIT
until a client of the feed's stream has the entry. Takes under a minute.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import standard
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.ids import new_id
from agentcontainer.migrations.migrate import migrate
from tests.integration.domain.conftest import EXECUTION
from tests.integration.test_feed_exactly_once import INSERT_TASKS, Installation, Reader, Writers, check

SERVICE_UID = 699_999  # PostgreSQL refuses to run as root


async def measure(url: str, folder: Path, options: argparse.Namespace) -> None:
    await migrate(url)
    task_ids = [new_id("tsk") for _ in range(options.tasks)]
    async with db.pool(url, max_size=options.writers) as pool:
        account_id, key = await accounts.create_account(pool, name="Benchmark", credit_micro_usd=0)
        await standard.install(pool)
        await pool.execute(INSERT_TASKS, task_ids, account_id, EXECUTION)
        with ExitStack() as stack:
            installation = Installation(url, folder, stack)
            await installation.start()
            await installation.start()
            readers = [Reader(installation, key) for _ in range(2)]
            reading = [asyncio.create_task(reader.read()) for reader in readers]
            writing = Writers(pool, task_ids)
            busy = [asyncio.create_task(writing.write()) for _ in range(options.writers)]
            await asyncio.sleep(options.seconds)
            writing.is_over = True
            await asyncio.gather(*busy)
            await asyncio.sleep(2)
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
    for reader in readers:
        check(reader, writing)
    delays = [
        reader.received_at[id_] - time for reader in readers for id_, time in writing.committed_at.items()
    ]
    p50, *_, p99 = statistics.quantiles(delays, n=100)[49::49]
    print(
        f"{options.writers} writers, {options.tasks} tasks, {os.cpu_count()} CPUs shared by all: "
        f"{len(writing.committed_at) / options.seconds:.0f} entries/s; from COMMIT to the client: "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {max(delays) * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("writers", 32), ("tasks", 200), ("seconds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    server = Postgres(folder / "postgres", service_uid=SERVICE_UID)
    try:
        url = asyncio.run(server.start())
        asyncio.run(measure(url, folder, options))
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
