"""`agentcontainer status`: what an operator sees from any host that reaches the database."""

import json
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.processes import store
from agentcontainer.domain.tasks import runners
from tests.acceptance.up import COMMAND, environment
from tests.pending_task import add_task

PASSWORD = "hunter2hunter2"


def status(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "status", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def shown(short_dir: Path, database_url: str) -> dict[str, Any]:
    done = status("--json", DATABASE_URL=database_url, DATA_DIR=short_dir)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


async def test_status_shows_processes_queue_and_problems(
    short_dir: Path, database_url: str, pool: Pool
) -> None:
    account_id, _ = await accounts.create_account(pool, name="Ann")
    await store.beat(pool, "api_1", "web1", 8080, "9.9.9")
    await runners.register(pool, "rnr_1", "any", "run1", 8, "run1-1")
    await runners.register(pool, "rnr_2", "eu", "run2", 8, "run2-1")
    await pool.execute("UPDATE runners SET heartbeat_at = now() - interval '20 min' WHERE id = 'rnr_2'")
    for number in range(3):
        await add_task(pool, account_id, f"tsk_{number}", "eu", 5)
    blocker: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    try:
        await blocker.execute("BEGIN")
        await blocker.execute("SELECT 1")
        state = shown(short_dir, database_url)["state"]
        assert [(api["host"], api["port"], api["version"]) for api in state["apiProcesses"]] == [
            ("web1", 8080, "9.9.9")
        ]
        assert [(runner["name"], runner["region"], runner["claims"]) for runner in state["runners"]] == [
            ("run1-1", "any", 0), ("run2-1", "eu", 0),
        ]  # fmt: skip
        assert [(queue["region"], queue["waiting"]) for queue in state["queues"]] == [("eu", 3)]
        assert state["accounts"] == [
            {"accountId": account_id, "waiting": 3, "running": 0, "maxRunning": None}
        ]
        assert state["tasks"] == {"pending": 3}
        done = status(DATABASE_URL=database_url, DATA_DIR=short_dir)
    finally:
        await blocker.close()
    assert done.returncode == 0
    assert "run2-1  run2  0.1.0    eu      0     8      20 min (dead)\n" in done.stdout
    assert "No runner takes tasks of region eu: 3 wait, the oldest for 30" in done.stdout
    assert "Processes of several versions run: 0.1.0, 9.9.9." in done.stdout
    assert "canary" not in done.stdout
    assert all(line == line.rstrip() and line.isprintable() for line in done.stdout.splitlines())


async def test_a_runner_is_drained_by_the_name_that_status_shows(
    short_dir: Path, database_url: str, pool: Pool
) -> None:
    await runners.register(pool, "rnr_1", "any", "run1", 8, "run1-1")
    for command, runner in (
        ("drain", "run1-1"),
        ("drain", "rnr_1"),
        ("undrain", "rnr_1"),
        ("undrain", "run1-1"),
    ):
        subprocess.run(
            [*COMMAND, "admin", command, runner],
            env=environment(DATABASE_URL=database_url, DATA_DIR=short_dir), check=True, timeout=60,
        )  # fmt: skip
        await pool.execute("UPDATE runners SET heartbeat_at = now()")
        report = shown(short_dir, database_url)
        is_draining = command == "drain"
        assert report["state"]["runners"][0]["isDraining"] is is_draining
        assert any("run1-1 is drained" in problem for problem in report["problems"]) is is_draining


async def test_an_idle_transaction_is_shown(short_dir: Path, database_url: str, pool: Pool) -> None:
    blocker: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    try:
        await blocker.execute("BEGIN")
        await pool.execute("SELECT pg_sleep(5.1)")
        report = shown(short_dir, database_url)
    finally:
        await blocker.close()
    [transaction] = report["state"]["openTransactions"]
    assert transaction["seconds"] > 5
    assert any("has been idle" in problem for problem in report["problems"])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"postgresql://me:{PASSWORD}@127.0.0.1:1/x", "cannot be used"),
        (None, "No database: AGENTCONTAINER_DATABASE_URL is not set"),
    ],
)
def test_a_database_that_cannot_be_read_is_named_without_its_password(
    short_dir: Path, url: str | None, reason: str
) -> None:
    done = status(DATA_DIR=short_dir, **({"DATABASE_URL": url} if url else {}))
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert PASSWORD not in done.stderr
    assert done.stderr.count("\n") == 1
