"""How many database connections an API and a runner hold: these are the figures of docs/operations/capacity.md."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from pathlib import Path

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from tests.acceptance.bed import Client, finish, script
from tests.acceptance.test_processes import SECRET_KEY, is_ready, process
from tests.acceptance.up import wait_until
from tests.ports import free_port

SLOTS = 8
IDLE_API, IDLE_RUNNER = 5, 4  # the API numbers the feed and does the housekeeping, which takes two
BUSY_RUNNER = 6
# What many loops open when they begin together is closed after one second instead of 30.
QUICK = [
    sys.executable,
    "-c",
    "import agentcontainer.bounded_pool as pool; pool.IDLE_SECONDS = 1; "
    "from agentcontainer.cli.main import app; app()",
]
_CONNECTIONS = """
SELECT split_part(application_name, ' ', 1) AS name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name <> '' GROUP BY 1
"""


async def connections(pool: Pool) -> Counter[str]:
    """How many connections each part has. The one that numbers the feed has a name of its own."""
    return Counter({row["name"]: row["count"] for row in await pool.fetch(_CONNECTIONS)})


async def test_an_idle_api_and_runner_hold_few_connections_and_a_busy_runner_at_most_six(
    short_dir: Path, database_url: str, pool: Pool
) -> None:
    port, log = free_port(), short_dir / "log"
    settings = {"SECRET_KEY": SECRET_KEY, "DATA_DIR": short_dir / "data", "OFFLINE_MODEL": "all"}
    api = settings | {"DATABASE_URL": f"{database_url}&application_name=api"}
    runner = settings | {"DATABASE_URL": f"{database_url}&application_name=runner", "CAPACITY": SLOTS}
    account_id, key = await accounts.create_account(pool, name="Test", credit_micro_usd=100_000_000)
    client = Client(f"http://127.0.0.1:{port}", key, account_id)
    with contextlib.closing(client), process("api", "--port", str(port), log=log, command=QUICK, **api):
        assert wait_until(lambda: is_ready(port), 60), log.read_text()
        with process("runner", log=log, command=QUICK, **runner):
            assert wait_until(lambda: f"capacity {SLOTS}" in log.read_text(), 60), log.read_text()
            await asyncio.sleep(4)
            idle = await connections(pool)
            task_ids = [
                client.dispatch(script({"bash": "seq 100; echo a > a.txt"}, finish("a.txt")))
                for _ in range(SLOTS)
            ]
            busy, give_up_at = Counter[str](), time.monotonic() + 60
            while any(client.task(task_id)["status"] != "finished" for task_id in task_ids):
                assert time.monotonic() < give_up_at, log.read_text()
                busy |= await connections(pool)
                await asyncio.sleep(0.02)
    print(f"idle: {dict(idle)}, busy: {dict(busy)}")
    assert idle["api"] + idle["agentcontainer"] <= IDLE_API, idle
    assert idle["runner"] <= IDLE_RUNNER, idle
    assert busy["runner"] <= BUSY_RUNNER, busy
