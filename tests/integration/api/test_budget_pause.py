"""Budgets that pause a task: what clients see and do, without a container."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.conversations.turns import Failure
from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.tasks import budgets, service, store
from agentcontainer.domain.tasks.model import Claim, Hibernation, TaskUsage

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
LIMIT = 100_000
PAUSING = {"budget": {"maxTokens": LIMIT, "onReached": "pause"}}
BUDGET = Budget(None, LIMIT, "pause")


async def task_of(account: Account, task_id: str) -> dict[str, Any]:
    return (await account.get(f"{V1}/tasks/{task_id}")).json()


async def patch(account: Account, task_id: str, **body: Any) -> dict[str, Any]:
    answer = await account.send("PATCH", f"{V1}/tasks/{task_id}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def budget_events(account: Account, task_id: str) -> list[tuple[str, Any]]:
    events = (await account.get(f"{V1}/tasks/{task_id}/events?limit=100")).json()["data"]
    return [
        (
            event["type"],
            event["data"].get("percent", event["data"].get("onReached", event["data"].get("kind"))),
        )
        for event in events
        if event["type"].startswith("budget.") or event["type"] == "task.woken"
    ]


async def pause(
    account: Account, task_id: str, used: int = LIMIT, budget: Budget = BUDGET, days: float = 7
) -> Claim:
    """Run a pending task until its budget is used up, as a runner does."""
    bed, claim = account.bed, await account.claim(task_id)
    assert await service.start_container(bed.pool, claim)
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(used, 0, 0, 0))
    until = datetime.now(UTC) + timedelta(days=days)
    checkpoint_id = await account.checkpoint(task_id)
    async with db.transaction(bed.pool) as connection:
        request = Hibernation("Used up.", until, checkpoint_id, "budget", budget)
        assert await hibernation.begin(connection, bed.settings, claim, request)
    return claim


async def test_a_budget_is_shown_with_what_is_used(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch(overrides={"budget": {"maxCostUsd": 2.5, "maxTokens": LIMIT}})
    assert task["budget"] == {
        "maxCostUsd": 2.5, "maxTokens": LIMIT, "onReached": "fail", "usedUsd": 0, "usedTokens": 0,
    }  # fmt: skip
    claim = await alice.claim(task["id"])
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(10, 5, 3, 1_000))
    used = (await task_of(alice, task["id"]))["budget"]
    assert (used["usedUsd"], used["usedTokens"]) == (0.001, 18)
    assert (await alice.dispatch())["budget"] is None


async def test_warnings_come_once_for_a_budget(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch(overrides=PAUSING))["id"]
    claim = await alice.claim(task_id)
    for used in (10_000, 49_999, 50_000, 60_000, 60_000, 81_000, 99_000):
        await budgets.count(bed.pool, bed.settings, claim, TaskUsage(used, 0, 0, 0))
    assert await budget_events(alice, task_id) == [("budget.warning", 50), ("budget.warning", 80)]
    await patch(alice, task_id, budget={"maxTokens": 2 * LIMIT})
    limits = await budgets.count(bed.pool, bed.settings, claim, TaskUsage(101_000, 0, 0, 0))
    assert limits == Budget(None, 2 * LIMIT, "pause")
    assert (await budget_events(alice, task_id))[2:] == [("budget.warning", 50)]


async def test_a_paused_task_waits_until_its_budget_is_raised(alice: Account) -> None:
    task_id = (await alice.dispatch(overrides=PAUSING))["id"]
    link = (await alice.post(f"{V1}/tasks/{task_id}/wake-links")).json()["url"]
    await pause(alice, task_id)
    paused = await task_of(alice, task_id)
    assert (paused["status"], paused["hibernationReason"], paused["wakeUrl"]) == (
        "hibernating",
        "budget",
        None,
    )
    assert await budget_events(alice, task_id) == [
        ("budget.warning", 50), ("budget.warning", 80), ("budget.reached", "pause"),
    ]  # fmt: skip
    wakes = ({"kind": "external_wake"}, {"kind": "message", "message": "Go on."})
    for path, body in (*(("wake", body) for body in wakes), ("messages", {"content": "Go on."})):
        answer = await alice.post(f"{V1}/tasks/{task_id}/{path}", body)
        assert (answer.status_code, "budget" in error_of(answer)["message"]) == (409, True), answer.text
    used_link = await alice.bed.http.post(
        "/wake/" + link.rpartition("/")[2], headers={"Accept": "application/json"}
    )
    assert used_link.status_code == 409
    for limit in (LIMIT - 1, LIMIT, LIMIT + 1000):
        answer = await alice.send("PATCH", f"{V1}/tasks/{task_id}", json={"budget": {"maxTokens": limit}})
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"] == "budget.maxTokens"
    woken = await patch(alice, task_id, budget={"maxTokens": 2 * LIMIT})
    assert woken["status"] == "pending"
    assert (woken["budget"]["maxTokens"], woken["budget"]["onReached"]) == (2 * LIMIT, "pause")
    assert woken["overrides"]["budget"] == {"maxTokens": 2 * LIMIT, "onReached": "pause"}
    assert (await budget_events(alice, task_id))[-1] == ("task.woken", "budget")
    await pause(alice, task_id, 2 * LIMIT, Budget(None, 2 * LIMIT, "pause"))
    assert (await budget_events(alice, task_id))[-1] == ("budget.reached", "pause")


async def test_a_raise_while_the_task_is_saved_lets_it_go_on(alice: Account) -> None:
    task_id = (await alice.dispatch(overrides=PAUSING))["id"]
    await patch(alice, task_id, budget={"maxTokens": 3 * LIMIT})
    await pause(alice, task_id)  # the runner had not seen the new limit
    assert (await task_of(alice, task_id))["status"] == "pending"
    assert await budget_events(alice, task_id) == [("task.woken", "budget")]


async def test_a_budget_that_is_not_raised_in_time_fails_the_task(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch(overrides=PAUSING))["id"]
    await pause(alice, task_id, days=-1)
    assert await hibernation.wake_due(bed.pool, bed.settings, task_id)
    task = await task_of(alice, task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "budget_exceeded")
    answer = await alice.send("PATCH", f"{V1}/tasks/{task_id}", json={"budget": {"maxTokens": 9 * LIMIT}})
    assert answer.status_code == 409
    assert (await patch(alice, task_id, title="Too late"))["title"] == "Too late"


async def test_a_conversation_waits_for_its_budget(bed: Bed, alice: Account) -> None:
    task_id = (await alice.converse(overrides=PAUSING))["task"]["id"]
    queued = await alice.post(f"{V1}/conversations/{task_id}/messages", {"content": "And then?"})
    assert queued.status_code == 201, queued.text
    claim = await alice.claim(task_id)
    turn = await turns.begin(bed.pool, claim)
    assert turn is not None
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(LIMIT, 0, 0, 0))
    following = await turns.end(
        bed.pool, bed.settings, claim, turn, checkpoint_id=None, reply="", file_ids=[],
        failure=Failure("budget_exceeded", "Used up.", BUDGET),
    )  # fmt: skip
    assert following == "idle"
    assert await store.evict(bed.pool, claim)
    task = await task_of(alice, task_id)
    assert (task["status"], task["turnStatus"], task["errorCode"]) == (
        "awaiting_input",
        "failed",
        "budget_exceeded",
    )
    for path in ("messages", "handoff"):
        body = {"content": "Go on."} if path == "messages" else {}
        answer = await alice.post(f"{V1}/conversations/{task_id}/{path}", body)
        assert (answer.status_code, "budget" in error_of(answer)["message"]) == (409, True), answer.text
    raised = await patch(alice, task_id, budget={"maxTokens": 3 * LIMIT})
    assert (raised["status"], raised["turnStatus"]) == ("pending", "queued")  # the queued message
    await alice.take_turn(task_id)
    answer = await alice.post(f"{V1}/conversations/{task_id}/messages", {"content": "Thanks."})
    assert answer.status_code == 201, answer.text


async def test_title_and_metadata_change(alice: Account) -> None:
    task = await alice.dispatch(title="Before", metadata={"a": 1})
    changed = await patch(alice, task["id"], title="After", metadata={"b": "2"})
    assert (changed["title"], changed["metadata"]) == ("After", {"b": "2"})
    assert (await patch(alice, task["id"]))["title"] == "After"
    found = (await alice.get(f"{V1}/tasks?metadata.b=2")).json()["data"]
    assert [each["id"] for each in found] == [task["id"]]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"title": ""}, "title"), ({"metadata": 7}, "metadata"), ({"budget": {}}, "budget"),
        ({"budget": {"maxTokens": 0}}, "budget.maxTokens"), ({"budget": {"maxCostUsd": "1"}}, "budget.maxCostUsd"),
        ({"budget": {"maxTokens": 10**6, "onReached": "stop"}}, "budget.onReached"), ({"status": "x"}, "status"),
        ({"budget": {"maxTokens": 4}}, "budget.maxTokens"),
    ],
)  # fmt: skip
async def test_a_wrong_change_names_its_field(
    bed: Bed, alice: Account, body: dict[str, Any], path: str
) -> None:
    task_id = (await alice.dispatch())["id"]
    claim = await alice.claim(task_id)
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(5, 0, 0, 0))
    answer = await alice.send("PATCH", f"{V1}/tasks/{task_id}", json=body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == path


async def test_a_model_without_a_price_takes_no_dollars(alice: Account) -> None:
    task_id = (await alice.dispatch(overrides={"provider": "openrouter", "model": "nobody/knows-1"}))["id"]
    answer = await alice.send("PATCH", f"{V1}/tasks/{task_id}", json={"budget": {"maxCostUsd": 2}})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == "budget.maxCostUsd"


async def test_another_account_cannot_change_a_task(alice: Account, bob: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    assert (await bob.send("PATCH", f"{V1}/tasks/{task_id}", json={"title": "Mine"})).status_code == 404


async def end_paused_turn(account: Account, task_id: str, budget: Budget = BUDGET) -> str | None:
    """Run the next turn of a conversation until its budget is used up, as a runner does; returns what comes next."""
    bed, claim = account.bed, await account.claim(task_id)
    turn = await turns.begin(bed.pool, claim)
    assert turn is not None
    await budgets.count(bed.pool, bed.settings, claim, TaskUsage(budget.max_tokens or 0, 0, 0, 0))
    following = await turns.end(
        bed.pool, bed.settings, claim, turn, checkpoint_id=None, reply="", file_ids=[],
        failure=Failure("budget_exceeded", "Used up.", budget),
    )  # fmt: skip
    if following == "idle":
        assert await store.evict(bed.pool, claim)
    return following


async def test_a_raise_counts_for_queued_messages_that_change_something_else(
    bed: Bed, alice: Account
) -> None:
    task_id = (await alice.converse(overrides=PAUSING))["task"]["id"]
    body = {"content": "And then?", "overrides": {"maxRuntimeSeconds": 900}}
    assert (await alice.post(f"{V1}/conversations/{task_id}/messages", body)).status_code == 201
    assert await end_paused_turn(alice, task_id) == "idle"
    body = {"content": "Now?", "overrides": {"budget": {"maxTokens": 3 * LIMIT}}}
    answer = await alice.post(f"{V1}/conversations/{task_id}/messages", body)
    assert answer.status_code == 409  # the queued message comes first, and has the old budget
    await patch(alice, task_id, budget={"maxTokens": 3 * LIMIT})
    await alice.take_turn(task_id)
    task = await task_of(alice, task_id)
    assert (task["turnNumber"], task["overrides"]["maxRuntimeSeconds"]) == (2, 900)
    assert task["budget"]["maxTokens"] == 3 * LIMIT


async def test_a_queued_message_that_raises_the_budget_is_not_held_back(alice: Account) -> None:
    task_id = (await alice.converse(overrides=PAUSING))["task"]["id"]
    larger = {"maxTokens": 3 * LIMIT, "onReached": "pause"}
    body = {"content": "And then?", "overrides": {"budget": larger}}
    assert (await alice.post(f"{V1}/conversations/{task_id}/messages", body)).status_code == 201
    assert await end_paused_turn(alice, task_id) == "restart"
    await end_paused_turn(alice, task_id, Budget(None, 3 * LIMIT, "pause"))
    assert (await task_of(alice, task_id))["status"] == "awaiting_input"
    body["overrides"] = {"budget": {"maxTokens": 6 * LIMIT}}
    assert (await alice.post(f"{V1}/conversations/{task_id}/messages", body)).status_code == 201
    await alice.take_turn(task_id)
    assert (await task_of(alice, task_id))["budget"]["maxTokens"] == 6 * LIMIT
