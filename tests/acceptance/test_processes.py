"""`agentcontainer api`, `runner` and `migrate` as separate processes with an external database."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from tests.acceptance.bed import Client, finish, script
from tests.acceptance.up import COMMAND, environment, wait_until
from tests.newer_schema import expand
from tests.ports import free_port
from tests.shifted_clock import shift_clock

SECRET_KEY = "k" * 40


@contextmanager
def process(
    *arguments: str, log: Path, command: list[str] = COMMAND, **settings: object
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as stderr:
        running = subprocess.Popen([*command, *arguments], env=environment(**settings), stderr=stderr)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture
async def offline_client(pool: Pool) -> AsyncIterator[Client]:
    """An account's client of the API at a free port, which the test starts."""
    account_id, key = await accounts.create_account(pool, name="Test", credit_micro_usd=10_000_000)
    client = Client(f"http://127.0.0.1:{free_port()}", key, account_id)
    with contextlib.closing(client):
        yield client


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, verify=False).status_code == 200
    except httpx2.HTTPError:
        return False


async def test_api_runner_and_migrate_run_separately_and_stop_cleanly(
    short_dir: Path, empty_database_url: str
) -> None:
    port, log = free_port(), short_dir / "log"
    settings = {"DATABASE_URL": empty_database_url, "SECRET_KEY": SECRET_KEY, "DATA_DIR": short_dir / "data"}
    for _ in range(2):
        migrated = subprocess.run([*COMMAND, "migrate"], env=environment(**settings), capture_output=True)
        assert migrated.returncode == 0, migrated.stderr
    with (
        process("api", "--port", str(port), log=log, **settings) as api,
        process("runner", "--region", "eu", "--capacity", "2", log=log, **settings) as runner,
    ):
        assert wait_until(lambda: is_ready(port), 60), log.read_text()
        assert wait_until(lambda: "region eu, capacity 2" in log.read_text(), 60), log.read_text()
        for started in (api, runner):
            os.kill(started.pid, signal.SIGTERM)
            assert started.wait(30) == 0


async def test_processes_go_on_and_start_again_on_the_expanded_schema_of_a_newer_version(
    short_dir: Path, database_url: str, pool: Pool, offline_client: Client
) -> None:
    client, port, log = offline_client, offline_client.port, short_dir / "log"
    settings = {
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": short_dir / "data",
        "OFFLINE_MODEL": "all",
    }
    watch = "import agentcontainer.migrations.watch as watch; watch.WATCH_SECONDS = 0.5"
    quick = [sys.executable, "-c", f"{watch}; from agentcontainer.cli.main import app; app()"]
    for is_second_start in (False, True):
        with (
            process("api", "--port", str(port), log=log, command=quick, **settings) as api,
            process("runner", log=log, command=quick, **settings) as runner,
        ):
            assert wait_until(lambda: is_ready(port), 60), log.read_text()
            assert client.run(script(finish()))["status"] == "finished"
            if not is_second_start:
                await expand(pool)
                assert client.run(script(finish()))["status"] == "finished", log.read_text()
                continue
            await pool.execute("UPDATE installation SET oldest_code = '9999'")
            for stopped in (api, runner):
                assert stopped.wait(30) == 1, log.read_text()
    assert log.read_text().count("error: The database has the schema 9999 of a newer version") == 2
    done = run("runner", **settings)
    assert done.returncode == 1
    assert "Install the newer version here" in done.stderr


async def test_a_runner_that_does_not_fit_refuses_to_start_or_stops_taking_work(
    short_dir: Path, database_url: str, pool: Pool, offline_client: Client
) -> None:
    client, port, log = offline_client, offline_client.port, short_dir / "log"
    settings = {
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": short_dir / "data",
        "OFFLINE_MODEL": "all",
    }
    watch = "import agentcontainer.domain.installation.watch as watch; watch.WATCH_SECONDS = 0.3"
    quick = [sys.executable, "-c", f"{watch}; from agentcontainer.cli.main import app; app()"]
    api_settings = settings | {"PUBLIC_URL": "https://agents.example.com"}
    await shift_clock(pool, -4)
    with process("api", "--port", str(port), log=log, **api_settings):
        assert wait_until(lambda: is_ready(port), 60), log.read_text()
        for wrong, sentence in (
            (
                {"SECRET_KEY": "o" * 40},
                "AGENTCONTAINER_SECRET_KEY is not the secret key of this installation",
            ),
            (
                {"STORAGE_URL": f"file://{short_dir}/other"},
                "AGENTCONTAINER_STORAGE_URL is not the object store",
            ),
            (
                {"RUNNER_LOST_AFTER_SECONDS": 60},
                "AGENTCONTAINER_RUNNER_LOST_AFTER_SECONDS is 60 here, but 10",
            ),
        ):
            done = run("runner", **settings | wrong)
            assert (done.returncode, sentence in done.stderr) == (1, True), done.stderr
        with process("runner", log=log, command=quick, **settings):
            link = client.run(script({"bash": "hibernate --wake-link > link.txt"}, finish("link.txt")))
            assert client.outputs(link["id"])["link.txt"].startswith(b"https://agents.example.com/wake/")
            canary = await pool.fetchval("SELECT canary FROM installation")
            await pool.execute("UPDATE installation SET canary = 'of another secret key'")
            assert wait_until(lambda: "takes no work: AGENTCONTAINER_SECRET_KEY" in log.read_text(), 30)
            task_id = client.dispatch(script(finish()))
            time.sleep(2)
            assert client.task(task_id)["status"] == "pending"
            await pool.execute("UPDATE installation SET canary = $1", canary)
            assert client.wait(task_id)["status"] == "finished", log.read_text()
            assert abs(await pool.fetchval("SELECT clock_skew_seconds FROM runners") - 4) < 1
            task_id = client.dispatch(script({"bash": "hibernate --for 1m --message Nap."}))
            client.wait(task_id, "hibernating")
            until = await pool.fetchval("SELECT hibernate_until_at FROM tasks WHERE id = $1", task_id)
            assert 0 < (until - await pool.fetchval("SELECT now() - interval '4 s'")).total_seconds() <= 60


@pytest.mark.parametrize("part", ["api", "runner"])
def test_a_missing_database_or_secret_key_is_named(short_dir: Path, part: str) -> None:
    without_database = run(part, DATA_DIR=short_dir)
    assert without_database.returncode == 1
    assert without_database.stderr == (
        "error: No database: AGENTCONTAINER_DATABASE_URL is not set, "
        f"and no `agentcontainer up` is running on {short_dir}. "
        "Set the variable, or start `agentcontainer up`.\n"
    )
    without_key = run(part, DATA_DIR=short_dir, DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert without_key.returncode == 1
    assert without_key.stderr.startswith("error: No secret key: AGENTCONTAINER_SECRET_KEY is not set")


@pytest.mark.parametrize(
    "arguments", [["up", "--port", "0"], ["api"], ["runner"], ["migrate"], ["admin", "list-accounts"]]
)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    short_dir: Path, arguments: list[str]
) -> None:
    url = "postgresql://me:hunter2hunter2@127.0.0.1:1/x"
    done = run(*arguments, DATA_DIR=short_dir, SECRET_KEY=SECRET_KEY, DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The database of AGENTCONTAINER_DATABASE_URL cannot be used: ")
    assert "hunter2" not in done.stderr
    assert done.stderr.count("\n") == 1


async def test_the_api_wants_the_current_schema(short_dir: Path, empty_database_url: str) -> None:
    done = run("api", DATA_DIR=short_dir, DATABASE_URL=empty_database_url, SECRET_KEY=SECRET_KEY)
    assert done.returncode == 1
    assert "Run `agentcontainer migrate`" in done.stderr


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=60
    )
