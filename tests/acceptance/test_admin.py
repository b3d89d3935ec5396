"""`agentcontainer admin`, as an operator's script calls it."""

import asyncio
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service
from agentcontainer.domain.sessions import service as sessions
from agentcontainer.embedded.location import is_running
from agentcontainer.errors import Forbidden, Unauthorized
from tests import data_folder

COMMAND = [sys.executable, "-m", "agentcontainer.cli.main", "admin"]


def admin(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=60
    )


def environment(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {f"AGENTCONTAINER_{name}": str(value) for name, value in settings.items()}


def answer(*arguments: str, **settings: object) -> dict[str, object]:
    """The JSON that a successful command prints with --json; fails if it prints anything else."""
    done = admin(*arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


async def test_accounts_keys_and_credit_work_with_an_external_database(database_url: str, pool: Pool) -> None:
    account = answer(
        "create-account",
        "--name",
        "Ann Lee",
        "--email",
        "ann@x.test",
        "--credit",
        "12.5",
        DATABASE_URL=database_url,
    )
    account_id = str(account["accountId"])
    assert (await service.authenticate(pool, str(account["apiKey"]))).account_id == account_id

    credited = answer("credit", account_id, "0.000001", DATABASE_URL=database_url)
    assert credited == {"accountId": account_id, "creditBalance": 12.500001}
    further = answer("create-key", account_id, "--name", "ci", DATABASE_URL=database_url)
    assert (await service.authenticate(pool, str(further["apiKey"]))).account_id == account_id

    listed = admin("list-accounts", "--json", DATABASE_URL=database_url)
    assert json.loads(listed.stdout) == [
        {
            "id": account_id,
            "name": "Ann Lee",
            "email": "ann@x.test",
            "billingMode": "standard",
            "creditBalance": 12.500001,
        }
    ]
    entries = await pool.fetch("SELECT kind, amount_micro_usd FROM ledger_entries")
    assert sorted(tuple(entry) for entry in entries) == [("credit", 1), ("credit", 12_500_000)]


async def test_an_account_is_limited_suspended_exported_and_deleted(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    account_id, key = await service.create_account(pool, name="Ann")
    there = {"DATABASE_URL": database_url, "STORAGE_URL": (tmp_path / "blobs").as_uri()}
    limited = answer("set-limits", account_id, "--running-tasks", "4", "--max-priority", "2", **there)
    assert limited == {"accountId": account_id, "runningTasks": 4, "queuedTasks": None, "maxPriority": 2}
    assert admin("suspend", account_id, **there).returncode == 0
    with pytest.raises(Forbidden):
        await service.authenticate(pool, key)
    # A limit that is set meanwhile lets nothing run, and holds afterwards.
    assert answer("set-limits", account_id, "--running-tasks", "7", **there)["runningTasks"] == 7
    assert (
        await pool.fetchval("SELECT max_running FROM account_queues WHERE account_id = $1", account_id) == 0
    )
    assert admin("suspend", account_id, "--off", **there).returncode == 0
    assert (
        await pool.fetchval("SELECT max_running FROM account_queues WHERE account_id = $1", account_id) == 7
    )
    wrong = admin("set-limits", account_id, "--max-priority", "11", **there)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "error: --max-priority must be a whole number from 0 to 10, or none.\n",
    )

    assert admin("suspend", account_id, **there).returncode == 0
    refused = admin("delete-account", account_id, **there)
    assert (refused.returncode, "has not been exported" in refused.stderr) == (1, True)
    assert "Cancelled 0 tasks" in admin("cancel-tasks", account_id, **there).stdout
    archive = tmp_path / "ann.tar"
    assert admin("export-account", account_id, str(archive), **there).returncode == 0
    with tarfile.open(archive) as members:
        assert "account.json" in members.getnames()
    assert archive.stat().st_mode & 0o777 == 0o600
    assert admin("export-account", account_id, str(archive), **there).returncode == 1
    assert admin("delete-account", account_id, **there).returncode == 0
    assert json.loads(admin("list-accounts", "--json", **there).stdout) == []
    row = await pool.fetchrow("SELECT name, deleted_at FROM accounts WHERE id = $1", account_id)
    assert row is not None and row["name"] == "Deleted account" and row["deleted_at"] is not None
    assert admin("create-key", account_id, "--name", "x", **there).returncode == 1


async def test_a_login_link_works_once_for_the_account_that_is_named(database_url: str, pool: Pool) -> None:
    first, _ = await service.create_account(pool, name="First")
    second, _ = await service.create_account(pool, name="Second")
    link = answer("login-link", DATABASE_URL=database_url, PUBLIC_URL="https://agents.example.com")
    assert link["accountId"] == first
    url, _, code = str(link["url"]).partition("#")
    assert url == "https://agents.example.com/login"
    browser = sessions.Browser("", None, None)
    _, session = await sessions.log_in_with_code(pool, code, browser, is_confirmed=False)
    assert (session.account_id, session.key_id) == (first, None)
    with pytest.raises(Unauthorized):
        await sessions.log_in_with_code(pool, code, browser, is_confirmed=False)
    assert answer("login-link", "--account", second, DATABASE_URL=database_url)["accountId"] == second
    wrong = admin("login-link", "--account", "acc_0", DATABASE_URL=database_url)
    assert (wrong.returncode, wrong.stderr) == (1, "error: Account acc_0 does not exist.\n")


async def test_a_name_cannot_steer_the_operators_terminal(database_url: str, pool: Pool) -> None:
    hostile = "Ann\x1b[2J\x9b31m\r\nacc_forged  unlimited_grant\u202eeel"
    await service.create_account(pool, name=hostile, email=hostile, is_unlimited=False, credit_micro_usd=0)
    [line, end] = admin("list-accounts", DATABASE_URL=database_url).stdout.split("\n")
    assert (line.isprintable(), end) == (True, "")
    listed = admin("list-accounts", "--json", DATABASE_URL=database_url).stdout
    assert (listed.isascii(), listed.count("\n")) == (True, 1)
    assert [account["name"] for account in json.loads(listed)] == [hostile]


async def test_an_unlimited_account_is_created_with_its_own_billing_mode(
    database_url: str, pool: Pool
) -> None:
    created = answer("create-account", "--name", "Ops", "--unlimited", DATABASE_URL=database_url)
    account = await service.get(pool, str(created["accountId"]))
    assert (account.billing_mode, account.balance_micro_usd) == ("unlimited_grant", 0)


async def test_an_empty_database_gets_the_schema(empty_database_url: str) -> None:
    answer("create-account", "--name", "first", DATABASE_URL=empty_database_url)


async def test_a_database_of_another_version_is_left_alone(database_url: str, pool: Pool) -> None:
    await pool.execute("UPDATE alembic_version SET version_num = '9999'")
    await pool.execute("UPDATE installation SET oldest_code = '9999'")
    done = admin("create-account", "--name", "x", DATABASE_URL=database_url)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: The database has the schema 9999 of a newer version of AgentContainer."
    )
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 0


async def test_without_a_running_server_admin_starts_one_and_concurrent_commands_wait(
    short_dir: Path,
) -> None:
    data_dir = short_dir / "data"
    data_dir.mkdir(mode=0o700)
    data_folder.fill(data_dir)
    start = [*COMMAND, "create-account", "--json", "--name"]
    several = [
        await asyncio.create_subprocess_exec(
            *start, name, env=environment(DATA_DIR=data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for name in ("one", "two", "three")
    ]
    for process in several:
        _, stderr = await process.communicate()
        assert process.returncode == 0, stderr
    assert not is_running(data_dir)
    names = [
        account["name"] for account in json.loads(admin("list-accounts", "--json", DATA_DIR=data_dir).stdout)
    ]
    assert sorted(names) == ["one", "three", "two"]
    assert data_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("amount", ["-1", ""])  # tests/unit/test_cli.py has others
async def test_an_invalid_amount_is_refused_and_changes_nothing(
    database_url: str, pool: Pool, amount: str
) -> None:
    await pool.execute("INSERT INTO accounts (id, name, billing_mode) VALUES ('acc_1', 'a', 'standard')")
    for arguments in (["credit", "acc_1", amount], ["create-account", "--name", "x", "--credit", amount]):
        done = admin(*arguments, DATABASE_URL=database_url)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {amount!r} is not an amount in USD")
        assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert await pool.fetchval("SELECT count(*) FROM ledger_entries") == 0
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["credit", "acc_nobody", "5"], "acc_nobody does not exist"),
        (["create-key", "acc_nobody", "--name", "k"], "acc_nobody does not exist"),
    ],
)
async def test_a_mistake_is_reported_in_one_sentence(
    database_url: str, arguments: list[str], sentence: str
) -> None:
    done = admin(*arguments, DATABASE_URL=database_url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_a_wrong_setting_is_named() -> None:
    done = admin("list-accounts", DATABASE_URL="mysql://x")
    assert (done.returncode, done.stderr) == (
        1,
        "error: AGENTCONTAINER_DATABASE_URL is wrong: must be a postgresql:// URL.\n",
    )


def test_a_data_folder_that_others_may_write_is_refused(short_dir: Path) -> None:
    (short_dir / "postgres/data").mkdir(parents=True)
    (short_dir / "postgres/data/PG_VERSION").touch()
    short_dir.chmod(0o777)
    done = admin("list-accounts", DATA_DIR=short_dir)
    assert done.returncode == 1
    assert "is writable by other users" in done.stderr
    assert [path.name for path in short_dir.iterdir()] == ["postgres"]


@pytest.mark.parametrize("command", [["admin", "list-accounts"], ["migrate"]])
def test_a_folder_without_an_installation_is_named_and_left_empty(
    short_dir: Path, command: list[str]
) -> None:
    done = subprocess.run(
        [*COMMAND[:-1], *command, "--data-dir", str(short_dir)],
        env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"error: There is no installation in {short_dir}. Name the folder of one with --data-dir, or make one there: "
        f"agentcontainer up --data-dir {short_dir}\n"
    )
    assert not list(short_dir.iterdir())
