"""What operators see and do over HTTP, and what an account changes of itself."""

from typing import Any

import pytest

from agentcontainer.domain.accounts import administration
from agentcontainer.domain.accounts.administration import AccountChange
from agentcontainer.ids import new_id

from .conftest import AGENT, Account, Bed, error_of, new_account
from .test_audit import acts

pytestmark = pytest.mark.asyncio(loop_scope="session")
ACCOUNTS = "/api/v1/installation/accounts"


async def operator_of(bed: Bed) -> Account:
    return await new_account(bed, is_operator=True)


async def test_an_operator_makes_an_account_whose_key_works(bed: Bed) -> None:
    operator = await operator_of(bed)
    made = await operator.post(ACCOUNTS, {"name": "Team", "email": "team@example.com", "creditUsd": 2.5})
    assert made.status_code == 201, made.text
    account = made.json()["account"]
    assert (account["name"], account["email"], account["creditBalance"]) == ("Team", "team@example.com", 2.5)
    team = Account(bed, account["id"], made.json()["apiKey"])
    own = (await team.get("/api/v1/account")).json()
    assert (own["isOperator"], own["role"], own["creditBalance"]) == (False, "member", 2.5)
    credited = await operator.post(f"{ACCOUNTS}/{account['id']}/credit", {"amountUsd": 1})
    assert (credited.status_code, credited.json()) == (201, {"creditBalance": 3.5})
    listed = (await operator.get(f"{ACCOUNTS}?limit=1")).json()["data"]
    assert listed == [account | {"creditBalance": 3.5}]
    # What the operator did stands in the account's own log, with the operator as the actor.
    assert await acts(team) == [("account.created", team.id), ("account.credited", team.id)]
    entry = (await team.get("/api/v1/account/audit?limit=1")).json()["data"][0]
    assert entry["actor"]["accountId"] == operator.id
    everything = (await operator.get("/api/v1/installation/audit?limit=100")).json()["data"]
    assert entry in everything


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {"name": ""}, "name"), ("", {"name": "a\nb"}, "name"), ("", {"name": "x", "email": "nobody"}, "email"),
        ("", {"name": "x", "creditUsd": -1}, "creditUsd"), ("", {"name": "x", "creditUsd": 1e-9}, "creditUsd"),
        ("", {"name": "x", "isOperator": True}, "isOperator"), ("/ID/credit", {"amountUsd": 0}, "amountUsd"),
        ("/ID/credit", {"amountUsd": -5}, "amountUsd"), ("/ID/credit", {"amountUsd": "5"}, "amountUsd"),
        ("/ID/credit", {}, "amountUsd"),
    ],
)  # fmt: skip
async def test_wrong_values_are_named(
    bed: Bed, alice: Account, path: str, body: dict[str, Any], field: str
) -> None:
    operator = await operator_of(bed)
    answer = await operator.post(ACCOUNTS + path.replace("ID", alice.id), body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == field


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"isOperator": True},
        {"limits": {"runningTasks": -1}},
        {"limits": {"x": 1}},
        {"suspendedAt": "soon"},
    ],
)
async def test_wrong_changes_change_nothing(bed: Bed, alice: Account, body: dict[str, Any]) -> None:
    operator = await operator_of(bed)
    answer = await operator.send("PATCH", f"{ACCOUNTS}/{alice.id}", json=body)
    assert answer.status_code == 400, answer.text
    assert await acts(alice) == [("account.created", alice.id)]
    missing = await operator.send("PATCH", f"{ACCOUNTS}/acc_{'z' * 26}", json={"name": "x"})
    assert missing.status_code == 404
    assert (await operator.post(f"{ACCOUNTS}/acc_{'z' * 26}/credit", {"amountUsd": 1})).status_code == 404


async def test_a_suspended_account_waits(bed: Bed, alice: Account) -> None:
    operator, path = await operator_of(bed), f"{ACCOUNTS}/{alice.id}"
    await operator.send("PATCH", path, json={"limits": {"runningTasks": 3, "maxPriority": 2}})
    task_id = (await alice.dispatch())["id"]
    suspended = await operator.send("PATCH", path, json={"suspendedAt": "2026-01-01T00:00:00Z"})
    assert suspended.json()["suspendedAt"] is not None
    assert suspended.json()["limits"]["runningTasks"] == 3
    assert (await alice.get("/api/v1/account")).status_code == 403
    assert not await bed.pool.fetchval(
        "SELECT is_due_any FROM account_queues WHERE account_id = $1", alice.id
    )
    # Limits that change meanwhile hold afterwards.
    await operator.send("PATCH", path, json={"limits": {"runningTasks": 5}})
    assert not await bed.pool.fetchval(
        "SELECT is_due_any FROM account_queues WHERE account_id = $1", alice.id
    )
    resumed = (await operator.send("PATCH", path, json={"suspendedAt": None})).json()
    assert (resumed["suspendedAt"], resumed["limits"]["runningTasks"]) == (None, 5)
    assert (await alice.get("/api/v1/account")).json()["limits"] == {
        "runningTasks": 5, "queuedTasks": None, "costUsdPerDay": None, "maxPriority": 2,
    }  # fmt: skip
    await alice.claim(task_id)
    assert await acts(alice) == [
        ("account.created", alice.id), ("account.changed", alice.id), ("account.suspended", alice.id),
        ("account.changed", alice.id), ("account.resumed", alice.id),
    ]  # fmt: skip


async def test_the_last_operator_cannot_be_suspended(bed: Bed) -> None:
    operator = await operator_of(bed)
    await bed.pool.execute("UPDATE accounts SET is_operator = false WHERE id <> $1", operator.id)
    own = await operator.send(
        "PATCH", f"{ACCOUNTS}/{operator.id}", json={"suspendedAt": "2026-01-01T00:00:00Z"}
    )
    assert own.status_code == 409
    second = await operator_of(bed)
    assert (
        await second.send("PATCH", f"{ACCOUNTS}/{operator.id}", json={"suspendedAt": "2026-01-01T00:00:00Z"})
    ).status_code == 200


async def test_an_account_that_is_no_operator_any_more_is_refused_at_once(bed: Bed) -> None:
    operator = await operator_of(bed)
    assert (await operator.get("/api/v1/installation/health")).status_code == 200
    await administration.set_operator(bed.pool, operator.id, is_operator=False)
    assert (await operator.get("/api/v1/installation/health")).status_code == 403
    assert [action for action, _ in await acts(operator)] == ["account.created", "account.operator_unset"]


async def test_the_state_of_the_installation_has_no_secrets(bed: Bed) -> None:
    operator = await operator_of(bed)
    health = (await operator.get("/api/v1/installation/health")).json()
    assert health["maxConnections"] > 0 and isinstance(health["problems"], list)
    runners = (await operator.get("/api/v1/installation/runners")).json()["data"]
    assert "run_test" in {runner["id"] for runner in runners}
    queue_state = (await operator.get("/api/v1/installation/queue")).json()
    assert set(queue_state) == {"isPaused", "tasks", "regions", "accounts"}
    settings = await operator.get("/api/v1/installation/settings")
    values = {setting["name"]: setting["value"] for setting in settings.json()["data"]}
    assert values["AGENTCONTAINER_SECRET_KEY"] == "(hidden)"
    secret = bed.settings.secret_key
    assert secret is not None and secret.get_secret_value() not in settings.text


async def test_an_account_changes_itself(alice: Account) -> None:
    changed = await alice.send("PATCH", "/api/v1/account", json={"name": "New", "lowBalanceUsd": 1.5})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["lowBalanceUsd"]) == ("New", 1.5)
    assert changed.json() == (await alice.get("/api/v1/account")).json()
    task = await alice.dispatch()
    assert (await alice.get("/api/v1/account")).json()["heldUsd"] == 0.5
    assert task["agentId"] == AGENT
    cleared = await alice.send("PATCH", "/api/v1/account", json={"lowBalanceUsd": None})
    assert (cleared.json()["lowBalanceUsd"], cleared.json()["name"]) == (None, "New")
    for body in (
        {},
        {"name": None},
        {"isOperator": True},
        {"email": "x"},
        {"creditBalance": 5},
        {"limits": {}},
    ):
        answer = await alice.send("PATCH", "/api/v1/account", json=body)
        assert answer.status_code == (200 if body == {"name": None} else 400), (body, answer.text)
    assert await acts(alice) == [("account.created", alice.id)] + [("account.changed", alice.id)] * 2


async def test_links_and_upload_urls_of_a_suspended_account_are_refused(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    [token] = await alice.hibernate(task_id, link_count=1)
    prepared = (
        await alice.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/csv"})
    ).json()

    async def uses() -> list[int]:
        shown = await bed.http.get(f"/wake/{token}")
        sent = await bed.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
        woken = await bed.http.post(f"/wake/{token}", json={})
        return [shown.status_code, sent.status_code, woken.status_code]

    await administration.change(bed.pool, alice.id, AccountChange(is_suspended=True))
    assert await uses() == [403, 403, 403]
    assert "suspended" in error_of(await bed.http.post(f"/wake/{token}", json={}))["message"]
    assert await bed.pool.fetchval("SELECT status FROM tasks WHERE id = $1", task_id) == "hibernating"
    await administration.change(bed.pool, alice.id, AccountChange(is_suspended=False))
    assert await uses() == [200, 200, 200]


async def test_an_operator_drains_a_runner(bed: Bed, alice: Account) -> None:
    operator = await operator_of(bed)
    runner_id = new_id("run")
    await bed.pool.execute(
        "INSERT INTO runners (id, host, region, capacity) VALUES ($1, 'host', 'any', 2)", runner_id
    )
    path = f"/api/v1/installation/runners/{runner_id}"
    try:
        refused = await alice.send("PATCH", path, json={"isDraining": True})
        assert refused.status_code == 403
        assert (await operator.send("PATCH", path, json={"isDraining": "yes"})).status_code == 400
        for is_draining in (True, False):
            changed = await operator.send("PATCH", path, json={"isDraining": is_draining})
            assert (changed.status_code, changed.json()["isDraining"]) == (200, is_draining), changed.text
        acted = [(entry[0], entry[1]) for entry in await acts(operator)]
        assert ("runner.drained", runner_id) in acted
        assert ("runner.undrained", runner_id) in acted
    finally:
        await bed.pool.execute("UPDATE runners SET stopped_at = now() WHERE id = $1", runner_id)
    gone = await operator.send("PATCH", path, json={"isDraining": True})
    assert gone.status_code == 404
