"""`GET /usage`: what an account used, by day, agent, model, key and metadata; and `PATCH /account`."""

import csv
import io
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.tasks import budgets, service
from agentcontainer.domain.tasks.model import TaskUsage
from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
BACK = "UPDATE usage SET day = day - 1 WHERE account_id = $1"
LOW = """
SELECT data FROM (
    SELECT account_id, number AS n, type, data FROM feed_outbox
    UNION ALL SELECT account_id, position, type, data FROM feed_entries
) AS entries WHERE account_id = $1 AND type = 'balance.low' ORDER BY n
"""
SECONDS = "UPDATE tasks SET container_started_at = now() - make_interval(secs => $2) WHERE id = $1"


async def rows(account: Account, query: str = "") -> list[dict[str, Any]]:
    answer = await account.get(f"{V1}/usage{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def used(account: Account, tokens: int, reason: EndReason = EndReason.COMPLETE, **body: Any) -> str:
    """A task that used so many tokens and 90 s of container time, and has ended."""
    bed, task_id = account.bed, (await account.dispatch(**body))["id"]
    claim = await account.claim(task_id)
    assert await service.start_container(bed.pool, claim)
    await bed.pool.execute(SECONDS, task_id, 90)
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(2 * tokens, tokens, 0, 7, tokens // 2))
    async with db.transaction(bed.pool) as connection:
        assert await service.end(
            connection, bed.settings, task_id, reason, attempt=claim.attempt, message="x"
        )
    return task_id


async def test_a_new_account_has_used_nothing(alice: Account) -> None:
    assert await rows(alice) == []
    assert await rows(alice, "?by=model,key&from=2026-01-01&to=2026-12-31") == []


async def test_use_is_summed_and_stays_when_the_task_is_deleted(bed: Bed, alice: Account) -> None:
    first = await used(alice, 100)
    await used(alice, 50, EndReason.AGENT_STOPPED)
    live = (await alice.dispatch())["id"]
    today = datetime.now(UTC).date().isoformat()
    task = (await alice.get(f"{V1}/tasks/{first}")).json()
    expected = {
        "day": today, "agentId": None, "agentVersionId": None, "provider": None, "model": None, "keyId": None,
        "metadata": None,
        "tasks": {"finished": 1, "failed": 1, "cancelled": 0, "expired": 0, "live": 1},
        "costUsd": round(2 * task["costUsd"], 6), "modelCostUsd": 0.000014,
        "tokens": {"input": 300, "cachedInput": 75, "output": 150},
    }  # fmt: skip
    [row] = await rows(alice)
    assert row.pop("containerMinutes") == pytest.approx(3, abs=0.1)
    assert row == expected
    await bed.pool.execute("UPDATE tasks SET remains_at = now() WHERE account_id = $1", alice.id)
    await deletion.delete(bed.pool, bed.blobs, alice.id, first)
    [row] = await rows(alice)
    assert (row["tasks"]["finished"], row["tokens"]["input"]) == (1, 300)
    await alice.post(f"{V1}/tasks/{live}/cancel")
    [row] = await rows(alice)
    assert (row["tasks"]["live"], row["tasks"]["cancelled"]) == (0, 1)


async def test_use_is_summed_by_one_or_two_values(bed: Bed, alice: Account) -> None:
    changed = await alice.send("PATCH", f"{V1}/account", json={"usageMetadataKeys": ["customer", "team"]})
    assert changed.json()["usageMetadataKeys"] == ["customer", "team"]
    await used(alice, 1, metadata={"customer": "a", "other": "x"})
    await used(alice, 2, metadata={"customer": "b", "team": 7})
    await used(alice, 4)
    await bed.pool.execute(BACK, alice.id)
    await used(alice, 8, metadata={"customer": "a"})
    by_day = await rows(alice)
    assert [(row["tasks"]["finished"], row["tokens"]["output"]) for row in by_day] == [(3, 7), (1, 8)]
    by_customer = await rows(alice, "?by=metadata.customer&order=desc")
    assert [(row["metadata"], row["tokens"]["output"]) for row in by_customer] == [
        ({"customer": "b"}, 2), ({"customer": "a"}, 9), ({}, 4),
    ]  # fmt: skip
    by_both = await rows(alice, "?by=day,metadata.customer")
    assert [row["tokens"]["output"] for row in by_both] == [4, 1, 2, 8]
    [by_agent] = await rows(alice, "?by=agent,model")
    assert (by_agent["agentId"], by_agent["provider"], by_agent["model"]) == (
        AGENT, "anthropic", "claude-sonnet-4-6",
    )  # fmt: skip
    [by_key] = await rows(alice, "?by=key,agentVersion")
    [key] = (await alice.get(f"{V1}/api-keys")).json()["data"]
    assert (by_key["keyId"], by_key["agentVersionId"][:4]) == (key["id"], "agv_")
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    assert [row["tokens"]["output"] for row in await rows(alice, f"?from={yesterday}&to={yesterday}")] == [7]


async def test_long_values_of_metadata_do_not_keep_a_task_from_ending(alice: Account) -> None:
    """An entry of an index has at most 2,704 bytes, and compresses what repeats."""
    keys = [f"{n}{'k' * 99}" for n in range(5)]
    await alice.send("PATCH", f"{V1}/account", json={"usageMetadataKeys": keys})
    metadata = {key: "".join(chr(secrets.randbelow(0x5000) + 0x4E00) for _ in range(200)) for key in keys}
    await used(alice, 1, metadata=metadata)
    await used(alice, 2, metadata=metadata)
    [row] = await rows(alice, f"?by=metadata.{keys[0]},metadata.{keys[4]}")
    assert row["metadata"] == {keys[0]: metadata[keys[0]], keys[4]: metadata[keys[4]]}
    assert row["tokens"]["output"] == 3


async def test_pages_neither_repeat_nor_skip_rows_when_others_are_added(alice: Account) -> None:
    await alice.send("PATCH", f"{V1}/account", json={"usageMetadataKeys": ["customer"]})
    for customer in ("b", "c", "d"):
        await used(alice, 1, metadata={"customer": customer})
    path = f"{V1}/usage?by=metadata.customer&limit=2"
    page = (await alice.get(path)).json()
    assert [row["metadata"]["customer"] for row in page["data"]] == ["b", "c"]
    await used(alice, 1, metadata={"customer": "a"})
    page = (await alice.get(f"{path}&cursor={page['pageInfo']['nextCursor']}")).json()
    assert [row["metadata"]["customer"] for row in page["data"]] == ["d"]


async def test_pages_and_csv_have_the_same_rows(alice: Account) -> None:
    await alice.send("PATCH", f"{V1}/account", json={"usageMetadataKeys": ["customer"]})
    for number, customer in enumerate(("=SUM(A1)", "b", "c")):
        await used(alice, number, metadata={"customer": customer})
    path, read, cursor = f"{V1}/usage?by=metadata.customer&limit=2", list[int](), ""
    while True:
        page = (await alice.get(path + cursor)).json()
        read += [row["tokens"]["output"] for row in page["data"]]
        if not page["pageInfo"]["hasMore"]:
            break
        cursor = f"&cursor={page['pageInfo']['nextCursor']}"
    assert read == [0, 1, 2]
    answer = await alice.get(f"{V1}/usage?by=metadata.customer&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["metadata.customer"], line["outputTokens"], line["finished"]) for line in lines] == [
        ("'=SUM(A1)", "0", "1"), ("b", "1", "1"), ("c", "2", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("by=hour", "by"), ("by=", "by"), ("by=day,day", "by"), ("by=day,agent,model", "by"), ("by=metadata.", "by"),
        ("by=metadata.secret", "by"), ("from=2026-02-30", "from"), ("from=yesterday", "from"), ("to=2026-1-1", "to"),
        ("from=2026-02-01&to=2026-01-01", "from"), ("from=2025-01-01&to=2026-01-02", "from"), ("limit=1001", "limit"),
        ("format=xml", "format"), ("cursor=abc", "cursor"), ("unknown=1", "unknown"), ("from=0000-01-01", "from"),
    ],
)  # fmt: skip
async def test_a_wrong_query_names_its_parameter(alice: Account, query: str, name: str) -> None:
    answer = await alice.get(f"{V1}/usage?{query}")
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == name


async def test_a_turn_counts_when_it_ends(alice: Account) -> None:
    task_id = (await alice.converse())["task"]["id"]
    await alice.take_turn(task_id)
    [row] = await rows(alice)
    assert (row["tasks"]["live"], row["tasks"]["finished"]) == (1, 0)


async def test_a_task_shows_what_it_was_given(alice: Account) -> None:
    file_id = await alice.upload(filename="sales.csv")
    repository = {"url": "https://example.com/a.git", "ref": "main", "token": "secret-token-1234"}
    task = await alice.dispatch(inputFileIds=[file_id], inputRepositories=[repository])
    again = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
    for shown in (task, again, (await alice.get(f"{V1}/tasks")).json()["data"][0]):
        assert shown["inputFiles"] == [
            {"id": file_id, "filename": "sales.csv", "contentType": "text/csv", "sizeBytes": 8, "isDeleted": False}
        ]  # fmt: skip
        assert shown["inputRepositories"] == [{"url": repository["url"], "ref": "main", "path": None}]
        assert "secret-token" not in str(shown)
    assert "inputFiles" not in (await alice.get(f"{V1}/tasks?fields=summary")).json()["data"][0]
    await alice.post(f"{V1}/tasks/{task['id']}/cancel")
    assert (await alice.send("DELETE", f"{V1}/files/{file_id}")).status_code == 204
    [shown] = (await alice.get(f"{V1}/tasks/{task['id']}")).json()["inputFiles"]
    assert shown["isDeleted"]


async def test_the_account_says_what_is_held(alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    assert (await alice.get(f"{V1}/account")).json()["heldUsd"] == 0.5
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    assert (await alice.get(f"{V1}/account")).json()["heldUsd"] == 0


async def test_the_account_is_changed_field_by_field(alice: Account) -> None:
    async def change(**body: Any) -> dict[str, Any]:
        answer = await alice.send("PATCH", f"{V1}/account", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    changed = await change(name="Ada & Co", email="ada@example.com", lowBalanceUsd=1.25)
    assert (changed["name"], changed["email"], changed["lowBalanceUsd"]) == (
        "Ada & Co",
        "ada@example.com",
        1.25,
    )
    changed = await change(lowBalanceUsd=None)
    assert (changed["name"], changed["email"], changed["lowBalanceUsd"]) == (
        "Ada & Co",
        "ada@example.com",
        None,
    )
    assert (await change(email=None))["email"] is None
    [entry, *_] = (await alice.get(f"{V1}/account/audit")).json()["data"]
    assert (entry["action"], entry["target"]) == ("account.changed", alice.id)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"name": 7}, "name"), ({"email": "nobody"}, "email"),
        ({"lowBalanceUsd": -1}, "lowBalanceUsd"), ({"lowBalanceUsd": "1"}, "lowBalanceUsd"),
        ({"lowBalanceUsd": 1e10}, "lowBalanceUsd"), ({"usageMetadataKeys": ["a"] * 6}, "usageMetadataKeys"),
        ({"usageMetadataKeys": [""]}, "usageMetadataKeys.0"), ({"balance": 7}, "balance"),
        ({"usageMetadataKeys": ["a", "a"]}, "usageMetadataKeys"),
        ({"usageMetadataKeys": ["a,b"]}, "usageMetadataKeys.0"),
    ],
)  # fmt: skip
async def test_a_wrong_change_names_its_field(alice: Account, body: dict[str, Any], name: str) -> None:
    answer = await alice.send("PATCH", f"{V1}/account", json=body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == name


async def test_a_low_balance_is_reported_once_until_credit_is_added(bed: Bed) -> None:
    async def reported() -> list[dict[str, Any]]:
        return [
            {name: row["data"][name] for name in ("balanceUsd", "lowBalanceUsd")}
            for row in await bed.pool.fetch(LOW, account.id)
        ]

    account = await new_account(bed, credit_micro_usd=2_000_000)
    await account.send("PATCH", f"{V1}/account", json={"lowBalanceUsd": 1.2})
    first = (await account.dispatch())["id"]
    assert await reported() == []
    await account.dispatch()
    low = {"balanceUsd": 1, "lowBalanceUsd": 1.2}
    assert await reported() == [low]
    await account.post(f"{V1}/tasks/{first}/cancel")
    await account.dispatch()
    assert await reported() == [low]
    async with db.transaction(bed.pool) as connection:
        await ledger.credit(connection, account.id, 100_000)
    assert len(await reported()) == 2
    await account.send("PATCH", f"{V1}/account", json={"lowBalanceUsd": 5})
    assert (await reported())[-1] == {"balanceUsd": 1.1, "lowBalanceUsd": 5}
    await account.send("PATCH", f"{V1}/account", json={"lowBalanceUsd": 1})
    assert len(await reported()) == 3
    await account.dispatch()
    assert (await reported())[3:] == [{"balanceUsd": 0.6, "lowBalanceUsd": 1}]
    unlimited = await new_account(bed, is_unlimited=True)
    await unlimited.send("PATCH", f"{V1}/account", json={"lowBalanceUsd": 5})
    account = unlimited
    assert await reported() == []
