"""Operators suspend, export and delete accounts: the export has everything but secrets, and then everything is gone."""

import io
import json
import secrets
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.deletion import account_store
from agentcontainer.domain.deletion import accounts as deletion
from agentcontainer.domain.export import store as export
from agentcontainer.domain.feed import store as feed
from tests.canary import tables_with

from .conftest import AGENT, Account, Bed, error_of, new_account
from .test_audit import acts
from .test_sessions import logged_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
ACCOUNTS = f"{V1}/installation/accounts"
SECRET = "whsec_" + "S" * 42 + "A="
_COLUMNS = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'public')
"""


@dataclass(frozen=True)
class Furnished:
    """An account that has something of every kind, and a text that is in all of it."""

    account: Account
    canary: str
    file_id: str
    output_id: str
    task_id: str


async def furnished(bed: Bed) -> Furnished:
    canary = f"canary{secrets.token_hex(8)}"
    account = await new_account(bed, name=canary, email=f"{canary}@example.com")
    await account.send("PATCH", f"{V1}/account", json={"usageMetadataKeys": ["case"]})
    agent = await account.post(f"{V1}/agents", {"name": canary, "basePrompt": canary})
    file_id = await account.upload(canary.encode(), f"{canary}.csv")
    key = {"Idempotency-Key": canary}
    body = {"instructions": f"Find {canary}.", "metadata": {"case": canary}, "inputFileIds": [file_id]}
    task = await account.post(f"{V1}/agents/{agent.json()['id']}/tasks", body, headers=key)
    [output_id] = await account.finish(task.json()["id"], {f"{canary}.txt": canary.encode()})
    conversation = (await account.converse(f"Where is {canary}?", inputFileIds=[file_id]))["task"]["id"]
    await account.take_turn(conversation, f"Here: {canary}.", [{"command": f"grep {canary}"}])
    await account.post(f"{V1}/agents/{AGENT}/tasks/batch", {"tasks": [{"instructions": canary}]})
    await account.post(f"{V1}/uploads/prepare", {"filename": f"{canary}.open", "contentType": "text/csv"})
    webhook = {"url": f"https://hooks.example.com/{canary}", "secret": SECRET}
    webhook_id = (await account.post(f"{V1}/webhooks", webhook)).json()["id"]
    await account.insert_delivery(webhook_id)
    await account.post(f"{V1}/account/callback-secret")
    await account.send("PUT", f"{V1}/provider-keys/openai", json={"apiKey": f"sk-{canary}"})
    limited = {"name": canary, "limits": {"tasksPerDay": 5}}
    used = Account(bed, account.id, (await account.post(f"{V1}/api-keys", limited)).json()["key"])
    await used.dispatch(instructions=canary)
    await account.post(f"{V1}/login-codes")
    await logged_in(bed, account)
    while await bed.pool.fetchval("SELECT count(*) FROM feed_outbox"):
        async with bed.pool.acquire() as connection:
            await feed.number(connection, 1000)
    return Furnished(account, canary, file_id, output_id, task.json()["id"])


async def suspended(operator: Account, account: Account) -> None:
    path = f"{ACCOUNTS}/{account.id}"
    answer = await operator.send("PATCH", path, json={"suspendedAt": "2026-01-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    outcome = (await operator.post(f"{path}/cancel-tasks")).json()
    assert outcome["remaining"] == 0


async def exported(operator: Account, account: Account) -> dict[str, bytes]:
    """The members of the account's export."""
    answer = await operator.get(f"{ACCOUNTS}/{account.id}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        members = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in members.items() if file is not None}


def rows(members: dict[str, bytes], table: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for name, content in members.items()
        if name.startswith(f"{table}/") and name.endswith(".jsonl")
        for line in content.splitlines()
    ]


async def test_an_export_has_everything_but_secrets(bed: Bed) -> None:
    operator, has = await new_account(bed, is_operator=True), await furnished(bed)
    members = await exported(operator, has.account)
    assert json.loads(members["account.json"])["email"] == f"{has.canary}@example.com"
    assert members[f"files/{has.file_id}/{has.canary}.csv"] == has.canary.encode()
    assert members[f"files/{has.output_id}/{has.canary}.txt"] == has.canary.encode()
    tasks = {task["id"]: task for task in rows(members, "tasks")}
    listed = (await has.account.get(f"{V1}/tasks?limit=100")).json()["data"]
    assert {task["id"] for task in listed} == tasks.keys()
    assert tasks[has.task_id]["input_file_ids"] == [has.file_id]
    assert any(message["file_ids"] == [has.file_id] for message in rows(members, "messages"))
    events = [event["type"] for event in rows(members, "events") if event["task_id"] == has.task_id]
    own = (await has.account.get(f"{V1}/tasks/{has.task_id}/events?limit=100")).json()["data"]
    assert events == [event["type"] for event in own]
    assert sum(entry["amount_micro_usd"] for entry in rows(members, "ledger_entries"))
    for table in (
        "agents",
        "agent_versions",
        "batches",
        "api_keys",
        "webhook_endpoints",
        "audit_log",
        "provider_keys",
    ):
        assert rows(members, table), table
    whole = b"".join(members.values()).decode()
    for secret in (has.account.key, SECRET, f"sk-{has.canary}", "ciphertext", "hash", "\\\\x"):
        assert secret not in whole, secret
    assert ("account.exported", has.account.id) in await acts(has.account)


async def test_an_export_of_several_pages_has_each_row_once(bed: Bed) -> None:
    operator, account = (
        await new_account(bed, is_operator=True),
        await new_account(bed, credit_micro_usd=10**9),
    )
    count = export.ROWS_AT_ONCE + 50
    batch = {"tasks": [{"instructions": "x"}] * count}
    assert (await account.post(f"{V1}/agents/{AGENT}/tasks/batch", batch)).status_code == 201
    members = await exported(operator, account)
    tasks = [task["id"] for task in rows(members, "tasks")]
    assert len(tasks) == len(set(tasks)) == count
    sequences = [(event["task_id"], event["sequence"]) for event in rows(members, "events")]
    assert len(sequences) == len(set(sequences)) >= count
    positions = [entry["position"] for entry in rows(members, "ledger_entries")]
    assert positions == sorted(set(positions)) and len(positions) >= count


async def test_a_file_whose_bytes_are_lost_is_named(bed: Bed) -> None:
    operator, has = await new_account(bed, is_operator=True), await furnished(bed)
    key = await bed.pool.fetchval("SELECT blob_key FROM files WHERE id = $1", has.file_id)
    await bed.blobs.delete(key)
    members = await exported(operator, has.account)
    assert members["missing-files.txt"] == f"{has.file_id}\n".encode()
    assert not any(name.startswith(f"files/{has.file_id}/") for name in members)


async def test_a_deleted_account_leaves_its_ledger_and_the_audit_log(bed: Bed) -> None:
    operator, has = await new_account(bed, is_operator=True), await furnished(bed)
    path, account_id = f"{ACCOUNTS}/{has.account.id}", has.account.id
    ledger = await bed.pool.fetch("SELECT * FROM ledger_entries WHERE account_id = $1", account_id)
    await suspended(operator, has.account)
    await exported(operator, has.account)
    assert (await operator.send("DELETE", path)).status_code == 204
    for answer in (
        await operator.send("DELETE", path), await operator.get(f"{path}/export"),
        await operator.send("PATCH", path, json={"suspendedAt": None}),
        await operator.post(f"{path}/credit", {"amountUsd": 1}), await operator.post(f"{path}/cancel-tasks"),
    ):  # fmt: skip
        assert answer.status_code == 404
    assert (await has.account.get(f"{V1}/account")).status_code == 401
    assert account_id not in (await operator.get(f"{ACCOUNTS}?limit=100")).text

    assert await deletion.remove_marked(bed.pool, bed.blobs, bed.settings) >= 1
    assert await tables_with(bed.pool, has.canary) == []
    assert not [path for path in files_of(bed.blob_folder) if has.canary.encode() in path.read_bytes()]
    kept = {
        table for table in await tables_of_accounts(bed.pool) if await has_rows(bed.pool, table, account_id)
    }
    assert kept <= account_store.KEPT.keys()
    assert (await bed.pool.fetch("SELECT * FROM ledger_entries WHERE account_id = $1", account_id))[
        : len(ledger)
    ] == (ledger)
    entries = (await operator.get(f"{V1}/installation/audit?limit=100")).json()["data"]
    acts_on = [entry["action"] for entry in entries if entry["target"] == account_id]
    assert acts_on[:4] == [
        "account.deleted", "account.exported", "account.tasks_cancelled", "account.suspended",
    ]  # fmt: skip
    assert await deletion.remove_marked(bed.pool, bed.blobs, bed.settings) == 0


async def test_only_a_suspended_quiet_and_exported_account_is_deleted(bed: Bed, alice: Account) -> None:
    operator, path = await new_account(bed, is_operator=True), f"{ACCOUNTS}/{alice.id}"

    async def refusal(query: str = "") -> str:
        answer = await operator.send("DELETE", f"{path}{query}")
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict"), answer.text
        return error_of(answer)["message"]

    task_id = (await alice.dispatch())["id"]
    await exported(operator, alice)
    assert "not suspended" in await refusal("?withoutExport=true")
    assert "not suspended" in error_of(await operator.post(f"{path}/cancel-tasks"))["message"]
    await operator.send("PATCH", path, json={"suspendedAt": "2026-01-01T00:00:00Z"})
    assert "1 tasks that have not ended" in await refusal("?withoutExport=true")
    assert (await operator.post(f"{path}/cancel-tasks")).json() == {"cancelled": 1, "remaining": 0}
    assert await bed.pool.fetchval("SELECT status FROM tasks WHERE id = $1", task_id) == "cancelled"
    assert "has not been exported" in await refusal()
    assert "has not been exported" in await refusal("?withoutExport=false")
    wrong = await operator.send("DELETE", f"{path}?withoutExport=perhaps")
    assert error_of(wrong)["details"][0]["path"] == "withoutExport"
    assert (await operator.send("DELETE", f"{path}?withoutExport=true")).status_code == 204


async def test_an_export_that_broke_does_not_count(bed: Bed, alice: Account) -> None:
    operator, path = await new_account(bed, is_operator=True), f"{ACCOUNTS}/{alice.id}"
    file_id = await alice.upload()
    await suspended(operator, alice)
    await bed.pool.execute("UPDATE files SET size_bytes = size_bytes + 1 WHERE id = $1", file_id)
    with pytest.raises(Exception, match="another size"):
        await operator.get(f"{path}/export")
    assert (await operator.send("DELETE", path)).status_code == 409


async def test_a_task_that_came_late_does_not_stop_the_removal(bed: Bed, alice: Account) -> None:
    operator, path = await new_account(bed, is_operator=True), f"{ACCOUNTS}/{alice.id}"
    await suspended(operator, alice)
    await exported(operator, alice)
    assert (await operator.send("DELETE", path)).status_code == 204
    # As a request that was authenticated before the account was suspended.
    await bed.pool.execute(
        "UPDATE accounts SET suspended_at = NULL, deleted_at = NULL WHERE id = $1", alice.id
    )
    await bed.pool.execute("UPDATE api_keys SET revoked_at = NULL WHERE account_id = $1", alice.id)
    task_id = (await alice.dispatch())["id"]
    await bed.pool.execute(
        "UPDATE accounts SET suspended_at = now(), deleted_at = now() WHERE id = $1", alice.id
    )
    await deletion.remove_marked(bed.pool, bed.blobs, bed.settings)
    assert await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE id = $1", task_id) == 0
    assert await bed.pool.fetchval("SELECT removed_at IS NOT NULL FROM accounts WHERE id = $1", alice.id)


async def test_every_table_of_accounts_has_a_decision(bed: Bed) -> None:
    decided = account_store.STEPS.keys() | account_store.KEPT.keys() | account_store.OF_TASKS
    assert await tables_of_accounts(bed.pool) <= decided
    columns = [
        (row["table_name"], row["column_name"], row["data_type"]) for row in await bed.pool.fetch(_COLUMNS)
    ]
    of_owners = {table for table, column, _ in columns if column in ("account_id", "task_id")} | {"accounts"}
    exported_tables = {*export.TABLES, *(part for parts in export.PARTS.values() for part in parts)}
    without = {table.name: set(table.without) for table in exported_tables}
    assert of_owners <= without.keys() | export.LEFT_OUT.keys()
    for table, column, kind in columns:  # all secrets are bytes
        assert kind != "bytea" or table not in without or column in without[table], (table, column)


async def tables_of_accounts(pool: Pool) -> set[str]:
    return {row["table_name"] for row in await pool.fetch(_COLUMNS) if row["column_name"] == "account_id"}


async def has_rows(pool: Pool, table: str, account_id: str) -> bool:
    return await pool.fetchval(f"SELECT EXISTS (SELECT FROM {table} WHERE account_id = $1)", account_id)


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
