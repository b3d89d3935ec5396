"""The audit log: one entry for each change of keys, only in the account that it concerns, and never changed."""

import asyncpg
import pytest

from agentcontainer import db
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE
from agentcontainer.domain.retention import service as retention

from .conftest import Account, Bed, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")
AUDIT = "/api/v1/account/audit"
KEYS = "/api/v1/api-keys"


async def acts(account: Account) -> list[tuple[str, str]]:
    """The actions and targets in the account's audit log, the oldest first."""
    answer = await account.get(f"{AUDIT}?order=asc&limit=100")
    assert answer.status_code == 200, answer.text
    return [(entry["action"], entry["target"]) for entry in answer.json()["data"]]


async def test_changes_of_keys_stand_in_the_log(bed: Bed) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    created = await alice.post(KEYS, {"name": "CI"})
    key_id = created.json()["id"]
    await alice.send("PUT", "/api/v1/provider-keys/openai", json={"apiKey": "sk-0123456789abcd"})
    await alice.send("DELETE", "/api/v1/provider-keys/openai")
    await alice.send("DELETE", f"{KEYS}/{key_id}")
    assert await acts(alice) == [
        ("account.created", alice.id), ("api_key.created", key_id), ("provider_key.stored", "openai"),
        ("provider_key.deleted", "openai"), ("api_key.revoked", key_id),
    ]  # fmt: skip
    assert await acts(bob) == [("account.created", bob.id)]
    [made] = [
        entry for entry in (await alice.get(AUDIT)).json()["data"] if entry["action"] == "api_key.created"
    ]
    own = await bed.pool.fetchval(
        "SELECT id FROM api_keys WHERE account_id = $1 AND name = 'default'", alice.id
    )
    assert made["actor"] == {"kind": "key", "id": own, "accountId": alice.id}
    assert made["requestId"] == created.headers["x-request-id"]
    assert made["address"] == "127.0.0.1"
    assert made["accountId"] == alice.id


async def test_what_is_refused_leaves_no_entry(alice: Account) -> None:
    before = await acts(alice)
    own = (await alice.get(KEYS)).json()["data"][0]["id"]
    assert (await alice.send("DELETE", f"{KEYS}/{own}")).status_code == 409
    assert (await alice.send("DELETE", f"{KEYS}/key_{'z' * 26}")).status_code == 404
    assert (await alice.post(KEYS, {"name": ""})).status_code == 400
    assert (await alice.send("DELETE", "/api/v1/provider-keys/openai")).status_code == 404
    assert await acts(alice) == before


async def test_a_replay_leaves_no_second_entry(alice: Account) -> None:
    before = await acts(alice)
    for _ in range(2):
        answer = await alice.post(KEYS, {"name": "once"}, headers={"Idempotency-Key": "audit-once"})
        assert answer.status_code == 201
    assert len(await acts(alice)) == len(before) + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET target = 'x' WHERE account_id = $1",
        "UPDATE audit_log SET at = now() - interval '1 year' WHERE account_id = $1",
        "DELETE FROM audit_log WHERE account_id = $1",
    ],
)
async def test_the_database_refuses_to_change_an_entry(bed: Bed, alice: Account, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await bed.pool.execute(statement, alice.id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await bed.pool.execute("TRUNCATE audit_log")
    assert await acts(alice) == [("account.created", alice.id)]


async def test_the_purge_removes_old_entries_only(bed: Bed, alice: Account) -> None:
    for id_, days in (("aud_old", 90), ("aud_young", 10)):
        await bed.pool.execute(
            "INSERT INTO audit_log (id, account_id, at, actor_kind, action) "
            "VALUES ($1, $2, now() - make_interval(days => $3), 'cli', 'account.changed')",
            f"{id_}_{alice.id}", alice.id, days,
        )  # fmt: skip
    kept = bed.settings.model_copy(update={"retention_audit_days": 1})
    assert (await retention.due(bed.pool, kept))["audit"].rows == 1
    assert (await retention.purge(bed.pool, bed.blobs, kept))["audit"].rows == 1
    assert {target for _, target in await acts(alice)} == {alice.id, None}
    assert len(await acts(alice)) == 2


async def test_an_entry_is_rolled_back_with_its_change(bed: Bed, alice: Account) -> None:
    async def fail() -> None:
        async with db.transaction(bed.pool) as connection:
            await audit.record(connection, COMMAND_LINE, "account.changed", alice.id, account_id=alice.id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await acts(alice) == [("account.created", alice.id)]


async def test_pages_follow_each_other(alice: Account) -> None:
    for number in range(3):
        await alice.post(KEYS, {"name": f"{number}"})
    first = (await alice.get(f"{AUDIT}?limit=3")).json()
    rest = (await alice.get(f"{AUDIT}?limit=3&cursor={first['pageInfo']['nextCursor']}")).json()
    listed = [entry["id"] for page in (first, rest) for entry in page["data"]]
    assert len(listed) == len(set(listed)) == 4
    assert listed == sorted(listed, reverse=True)
