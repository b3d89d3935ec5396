"""PgBouncer in transaction mode: refused without a direct URL; with one, tasks run through it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer import pooler
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.errors import SettingsError
from agentcontainer.settings import load
from tests.acceptance.bed import Client, finish, script
from tests.acceptance.test_processes import is_ready, process, run
from tests.acceptance.up import wait_until
from tests.pgbouncer import Bouncer
from tests.ports import free_port


@pytest.fixture
def bouncer(short_dir: Path, database_url: str) -> Iterator[Bouncer]:
    started = Bouncer(short_dir, database_url)
    yield started
    started.stop()
    print((short_dir / "pgbouncer.log").read_text())  # shown if the test fails


async def test_transaction_mode_is_told_from_session_mode_and_from_postgres(
    bouncer: Bouncer, database_url: str
) -> None:
    assert not await pooler.is_transaction_pooled(database_url)
    assert not await pooler.is_transaction_pooled(bouncer.start("session"))
    assert await pooler.is_transaction_pooled(bouncer.start("transaction"))
    assert await pooler.is_transaction_pooled(bouncer.start("transaction", is_round_robin=True))
    assert await pooler.is_transaction_pooled(bouncer.start("transaction", pool_size=1))


async def test_a_direct_url_must_lead_to_the_same_database_and_not_to_a_pooler(
    bouncer: Bouncer, database_url: str, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    pooled_url = bouncer.start("transaction", limits="SET lock_timeout = 1000")
    with caplog.at_level(logging.WARNING):
        await pooler.check(load(database_url=pooled_url, database_direct_url=database_url))
    assert "have no idle_in_transaction_session_timeout: a host" in caplog.text
    for direct_url, sentence in (
        (pooled_url, "AGENTCONTAINER_DATABASE_DIRECT_URL leads to a connection pooler in transaction mode."),
        (empty_database_url, "AGENTCONTAINER_DATABASE_DIRECT_URL leads to another database"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            await pooler.check(load(database_url=pooled_url, database_direct_url=direct_url))


async def test_tasks_run_through_a_pooler_in_transaction_mode_only_with_a_direct_url(
    bouncer: Bouncer, short_dir: Path, database_url: str, pool: Pool
) -> None:
    port, log = free_port(), short_dir / "log"
    settings = {
        "DATABASE_URL": bouncer.start("transaction", pool_size=4),
        "SECRET_KEY": "k" * 40,
        "DATA_DIR": short_dir / "data",
        "OFFLINE_MODEL": "all",
    }
    for part in ("api", "runner"):
        done = run(part, **settings)
        assert done.returncode == 1
        assert done.stderr.startswith("error: AGENTCONTAINER_DATABASE_URL leads to a connection pooler")
        assert "Set AGENTCONTAINER_DATABASE_DIRECT_URL to the URL of PostgreSQL itself" in done.stderr
    settings |= {"DATABASE_DIRECT_URL": database_url}
    account_id, key = await accounts.create_account(pool, name="Test", credit_micro_usd=10_000_000)
    client = Client(f"http://127.0.0.1:{port}", key, account_id)
    with (
        contextlib.closing(client),
        process("api", "--port", str(port), log=log, **settings),
        process("runner", log=log, **settings),
    ):
        assert wait_until(lambda: is_ready(port), 60), log.read_text()
        task_ids = [client.dispatch(script({"bash": "echo a > a.txt"}, finish("a.txt"))) for _ in range(4)]
        assert {client.wait(task_id)["status"] for task_id in task_ids} == {"finished"}, log.read_text()
        assert client.outputs(task_ids[0]) == {"a.txt": b"a\n"}
    for sign in ("prepared statement", "Traceback", "WARNING: Sessions"):
        assert sign not in log.read_text(), log.read_text()


async def test_a_migration_through_a_pooler_in_transaction_mode_is_refused(
    short_dir: Path, empty_database_url: str
) -> None:
    bouncer = Bouncer(short_dir, empty_database_url)
    try:
        url = bouncer.start("transaction")
        done = run("migrate", DATABASE_URL=url, DATA_DIR=short_dir / "data")
        assert (done.returncode, "AGENTCONTAINER_DATABASE_DIRECT_URL" in done.stderr) == (1, True)
        done = run(
            "migrate",
            DATABASE_URL=url,
            DATABASE_DIRECT_URL=empty_database_url,
            DATA_DIR=short_dir / "data",
        )
        assert done.returncode == 0, done.stderr
    finally:
        bouncer.stop()
