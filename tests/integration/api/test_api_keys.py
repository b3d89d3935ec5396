"""API keys over HTTP: created, listed, revoked; shown once only, and the last one cannot be revoked."""

import asyncio

import pytest

from agentcontainer.domain.accounts import service as accounts

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEYS = "/api/v1/api-keys"


async def names(account: Account, query: str = "") -> list[str]:
    return [key["name"] for key in (await account.get(KEYS + query)).json()["data"]]


async def test_a_key_is_shown_once_and_works(bed: Bed, alice: Account) -> None:
    answer = await alice.post(KEYS, {"name": "CI of the shop"})
    created = answer.json()
    assert answer.status_code == 201
    grant = {
        "role": "member", "agentIds": None, "expiresAt": None, "last4": created["key"][-4:],
        "limits": {"costUsdPerDay": None, "tasksPerDay": None, "maxPriority": None},
    }  # fmt: skip
    assert created == grant | {
        "id": created["id"], "name": "CI of the shop", "key": created["key"], "createdAt": created["createdAt"]
    }  # fmt: skip
    assert created["id"].startswith("key_") and created["key"].startswith("ac_live_")
    listed = await alice.get(KEYS)
    entry = listed.json()["data"][0]
    assert entry == grant | {
        "id": created["id"],
        "name": "CI of the shop",
        "createdAt": created["createdAt"],
        "lastUsedAt": None,
    }
    assert created["key"] not in listed.text
    stored = await bed.pool.fetchrow("SELECT api_keys::text FROM api_keys WHERE id = $1", created["id"])
    assert created["key"].removeprefix("ac_live_") not in stored[0]
    assert (await Account(bed, alice.id, created["key"]).get("/api/v1/account")).json()["id"] == alice.id
    assert (await alice.get(KEYS)).json()["data"][0]["lastUsedAt"] is not None


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", 5, None, "\x00"], ids=ascii)
async def test_a_key_name_must_be_valid(alice: Account, name: object) -> None:
    answer = await alice.post(KEYS, {"name": name})
    assert error_of(answer)["details"][0]["path"] == "name"
    assert (await alice.post(KEYS, {"name": "n", "key": "ac_live_mine"})).status_code == 400
    assert await names(alice) == ["default"]


async def test_pages_survive_inserts(alice: Account) -> None:
    for number in range(4):
        await alice.post(KEYS, {"name": f"{number}"})
    first = (await alice.get(f"{KEYS}?limit=2")).json()
    await alice.post(KEYS, {"name": "later"})
    cursor = first["pageInfo"]["nextCursor"]
    assert [key["name"] for key in first["data"]] == ["3", "2"]
    assert await names(alice, f"?limit=100&cursor={cursor}") == ["1", "0", "default"]
    assert await names(alice, "?order=asc") == ["default", "0", "1", "2", "3", "later"]
    assert (await alice.get(f"/api/v1/tasks?cursor={cursor}")).status_code == 400


async def test_a_revoked_key_is_gone_at_once_also_the_one_in_use(bed: Bed, alice: Account) -> None:
    created = (await alice.post(KEYS, {"name": "next"})).json()
    own = (await alice.get(f"{KEYS}?order=asc")).json()["data"][0]
    revoked = await alice.send("DELETE", f"{KEYS}/{own['id']}")
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert (await alice.get(KEYS)).status_code == 401
    successor = Account(bed, alice.id, created["key"])
    assert await names(successor) == ["next"]
    again = await successor.send("DELETE", f"{KEYS}/{own['id']}")
    assert error_of(again)["code"] == "not_found"
    last = await successor.send("DELETE", f"{KEYS}/{created['id']}")
    assert (last.status_code, error_of(last)["code"]) == (409, "conflict")
    assert await names(successor) == ["next"]


async def test_of_two_concurrent_revocations_of_the_last_keys_one_is_refused(
    bed: Bed, alice: Account
) -> None:
    for _ in range(5):
        created = (await alice.post(KEYS, {"name": "two"})).json()
        ids = [key["id"] for key in (await alice.get(KEYS)).json()["data"]]
        assert len(ids) == 2
        results = await asyncio.gather(
            *(accounts.revoke_key(bed.pool, alice.id, key_id) for key_id in ids), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["Conflict", "NoneType"]
        if (await alice.get(KEYS)).status_code == 401:
            alice = Account(bed, alice.id, created["key"])
