"""Money over HTTP: the list of the ledger, its sum as the balance, and accounts with too little balance."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcontainer import db
from agentcontainer.api.app import create_app
from agentcontainer.api.wire import usd
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, Account, Bed, error_of, new_account

LEDGER = "/api/v1/account/ledger"
TASKS = f"/api/v1/agents/{AGENT}/tasks"
in_session = pytest.mark.asyncio(loop_scope="session")


async def entries(account: Account, query: str = "?limit=100&order=asc") -> list[dict[str, Any]]:
    answer = await account.get(LEDGER + query)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)["data"]


async def balance(account: Account) -> Decimal:
    text = (await account.get("/api/v1/account")).text
    return Decimal(json.loads(text, parse_float=Decimal)["creditBalance"])


async def credit(bed: Bed, account: Account, micro_usd: int) -> None:
    async with db.transaction(bed.pool) as connection:
        await ledger.credit(connection, account.id, micro_usd)


def check_chain(chain: list[dict[str, Any]]) -> None:
    total = Decimal(0)
    for entry in chain:
        total += entry["amountUsd"]
        assert entry["balanceAfterUsd"] == total, entry


@in_session
async def test_a_hold_is_released_and_the_cost_charged(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch()
    await bed.pool.execute(
        "UPDATE tasks SET container_micro_seconds = 61200000 WHERE id = $1", task["id"]
    )  # 61.2 s
    await alice.finish(task["id"])
    ledger = await entries(alice)
    assert [(entry["kind"], entry["amountUsd"], entry["taskId"]) for entry in ledger] == [
        ("credit", Decimal(10), None),
        ("hold", Decimal("-0.5"), task["id"]),
        ("release", Decimal("0.5"), task["id"]),
        ("charge", Decimal("-0.051667"), task["id"]),
    ]
    check_chain(ledger)
    assert ledger[-1]["balanceAfterUsd"] == await balance(alice) == Decimal("9.948333")
    assert set(ledger[0]) == {"id", "kind", "amountUsd", "taskId", "balanceAfterUsd", "createdAt"}
    assert all(entry["id"].startswith("led_") for entry in ledger)
    assert await entries(alice, "") == ledger[::-1]


@in_session
async def test_a_fault_of_the_platform_costs_nothing(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch()
    await bed.pool.execute(
        "UPDATE tasks SET container_micro_seconds = 10^9, tries = 2 WHERE id = $1", task["id"]
    )
    await alice.finish(task["id"], reason=EndReason.PLATFORM_FAULT)
    assert [entry["kind"] for entry in await entries(alice)] == ["credit", "hold", "release"]
    assert await balance(alice) == 10
    ended = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert (ended["status"], ended["errorCode"], ended["costUsd"]) == ("failed", "infrastructure_error", 0)


@in_session
async def test_an_unlimited_account_has_no_entries(bed: Bed) -> None:
    account = await new_account(bed, is_unlimited=True, credit_micro_usd=0)
    task = await account.dispatch()
    await bed.pool.execute("UPDATE tasks SET container_micro_seconds = 60000000 WHERE id = $1", task["id"])
    await account.finish(task["id"])
    assert (await account.get(f"/api/v1/tasks/{task['id']}")).json()["costUsd"] == 0.05
    assert await entries(account) == []
    assert await balance(account) == 0


@in_session
async def test_pages_survive_inserts(bed: Bed, alice: Account) -> None:
    for amount in (1, 2, 3, 4):
        await credit(bed, alice, amount)
    for order, expected in (("desc", [4, 3, 2, 1, 10_000_000]), ("asc", [10_000_000, 1, 2, 3, 4, 9, 9])):
        amounts, query = list[int](), f"?limit=2&order={order}"
        while True:
            page = json.loads((await alice.get(LEDGER + query)).text, parse_float=Decimal)
            amounts += [int(entry["amountUsd"] * 1_000_000) for entry in page["data"]]
            if not page["pageInfo"]["hasMore"]:
                break
            if len(amounts) == 2:
                await credit(bed, alice, 9)
            query = f"?limit=2&order={order}&cursor={page['pageInfo']['nextCursor']}"
        assert amounts == expected


@in_session
async def test_a_cursor_of_another_account_returns_nothing(bed: Bed, alice: Account, bob: Account) -> None:
    await credit(bed, alice, 1)
    cursor = (await alice.get(f"{LEDGER}?limit=1")).json()["pageInfo"]["nextCursor"]
    assert await entries(bob, f"?cursor={cursor}") == []


@in_session
async def test_concurrent_entries_stand_in_the_order_of_their_balances(bed: Bed, alice: Account) -> None:
    await asyncio.gather(*(credit(bed, alice, number) for number in range(1, 41)))
    ledger = await entries(alice)
    assert len(ledger) == 41
    check_chain(ledger)


@in_session
async def test_fifty_dispatches_at_once_on_a_balance_for_ten(bed: Bed) -> None:
    account = await new_account(bed, credit_micro_usd=5_499_999)
    answers = await asyncio.gather(*(account.post(TASKS, {"instructions": "x"}) for _ in range(50)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(402)) == (10, 40)
    tasks = (await account.get("/api/v1/tasks?limit=100")).json()["data"]
    assert {task["id"] for task in tasks} == {
        answer.json()["id"] for answer in answers if answer.status_code == 201
    }
    ledger = await entries(account)
    assert [entry["kind"] for entry in ledger] == ["credit"] + ["hold"] * 10
    check_chain(ledger)
    assert await balance(account) == Decimal("0.499999")
    queued = "SELECT queued FROM account_queues WHERE account_id = $1"
    assert await bed.pool.fetchval(queued, account.id) == 10


@in_session
async def test_a_402_names_the_balance_and_the_amount_needed(bed: Bed) -> None:
    account = await new_account(bed, credit_micro_usd=499_999)
    before = await bed.rows()
    error = error_of(await account.post(TASKS, {"instructions": "x"}))
    assert error["code"] == "insufficient_balance"
    assert "$0.499999" in error["message"] and "$0.50" in error["message"]
    assert await bed.rows() == before


@given(st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1))
def test_money_on_the_wire_is_exact(micro_usd: int) -> None:
    on_the_wire = json.loads(json.dumps(usd(micro_usd)), parse_float=Decimal)
    assert Decimal(on_the_wire) * 1_000_000 == micro_usd
    assert Decimal(dollars(micro_usd).replace("$", "")) * 1_000_000 == micro_usd


async def use_container(bed: Bed, task_id: str, seconds: float) -> None:
    """Set the task's container time as if its container had run that long."""
    query = "UPDATE tasks SET container_micro_seconds = $2 WHERE id = $1"
    await bed.pool.execute(query, task_id, int(seconds * 1_000_000))


@in_session
async def test_the_balance_is_always_the_sum_of_all_entries(bed: Bed, alice: Account) -> None:
    first, second = await alice.dispatch(), await alice.dispatch()
    await use_container(bed, first["id"], 77.7)
    for step in (
        alice.finish(first["id"]),
        alice.post(f"/api/v1/tasks/{second['id']}/cancel"),
        alice.dispatch(),
    ):
        await step
        assert sum(entry["amountUsd"] for entry in await entries(alice)) == await balance(alice)


@in_session
async def test_a_task_may_cost_more_than_its_hold(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch()
    await use_container(bed, task["id"], 1200)
    await alice.finish(task["id"])
    assert await balance(alice) == 9.0
    kinds = [(entry["kind"], entry["amountUsd"]) for entry in await entries(alice)]
    assert kinds[1:] == [("hold", -0.5), ("release", 0.5), ("charge", -1.0)]


@in_session
async def test_the_hold_and_the_price_of_container_time_are_settings(bed: Bed, alice: Account) -> None:
    dear = bed.settings.model_copy(update={"hold_usd": Decimal(2), "container_usd_per_minute": Decimal(3)})
    app = create_app(dear, bed.pool, bed.vault, bed.blobs)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://testserver", verify=False
    ) as http:
        account = Account(replace(bed, http=http, settings=dear), alice.id, alice.key)
        task = await account.dispatch()
        assert await balance(account) == 8
        await use_container(bed, task["id"], 30)
        await account.finish(task["id"])
        assert await balance(account) == 8.5
