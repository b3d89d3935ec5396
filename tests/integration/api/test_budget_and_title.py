"""Dispatch with `overrides.budget` and `titleSource`: what is accepted, echoed, stored and refused."""

import json
from typing import Any

import pytest

from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.tasks import model, service, store
from tests import claims

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def refused(account: Account, **body: Any) -> tuple[str, str]:
    """(path, message) of the only validation error."""
    answer = await account.post(f"/api/v1/agents/{AGENT}/tasks", {"instructions": "Do it."} | body)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["code"] == "validation_error"
    (detail,) = error["details"]
    return detail["path"], detail["message"]


@pytest.mark.parametrize(
    ("budget", "stored"),
    [
        ({"maxTokens": 30_001}, Budget(None, 30_001)),
        ({"maxCostUsd": 2}, Budget(2_000_000, None)),
        ({"maxCostUsd": 1.000001, "maxTokens": 10**12}, Budget(1_000_001, 10**12)),
        ({"maxCostUsd": 9999.999999, "maxTokens": None}, Budget(9_999_999_999, None)),
        ({"maxCostUsd": 10000}, Budget(10_000_000_000, None)),
    ],
)
async def test_a_budget_is_echoed_and_stored_exactly(
    bed: Bed, alice: Account, budget: dict[str, Any], stored: Budget
) -> None:
    task = await alice.dispatch(overrides={"budget": budget})
    assert task["overrides"] == {
        "budget": {name: value for name, value in budget.items() if value is not None}
    }
    assert set(task["execution"]) == {"provider", "model", "weakModel"}
    row = await store.get(bed.pool, task["id"])
    assert row is not None
    assert row.execution.budget == stored


@pytest.mark.parametrize(
    ("budget", "path"),
    [
        ({}, "overrides.budget"),
        ({"maxTokens": None, "maxCostUsd": None}, "overrides.budget"),
        ({"maxTokens": 0}, "overrides.budget.maxTokens"),
        ({"maxTokens": 1.5}, "overrides.budget.maxTokens"),
        ({"maxTokens": "5"}, "overrides.budget.maxTokens"),
        ({"maxTokens": 10**12 + 1}, "overrides.budget.maxTokens"),
        ({"maxCostUsd": 0}, "overrides.budget.maxCostUsd"),
        ({"maxCostUsd": -1}, "overrides.budget.maxCostUsd"),
        ({"maxCostUsd": 10000.01}, "overrides.budget.maxCostUsd"),
        ({"maxCostUsd": 0.0000015}, "overrides.budget.maxCostUsd"),
        ({"maxCostUsd": "1"}, "overrides.budget.maxCostUsd"),
        ({"maxUsd": 1}, "overrides.budget.maxUsd"),
        (5, "overrides.budget"),
    ],
)
async def test_a_budget_that_is_none_is_refused(alice: Account, budget: Any, path: str) -> None:
    body: dict[str, Any] = {"maxTokens": 5} | budget if budget == {"maxUsd": 1} else budget
    assert (await refused(alice, overrides={"budget": body}))[0] == path


@pytest.mark.parametrize(
    "models",
    [
        {"model": "brand-new"},
        {"weakModel": "brand-new"},
        {"provider": "openrouter", "model": "openrouter/auto"},
    ],
)
async def test_a_cost_limit_needs_a_known_price(alice: Account, models: dict[str, str]) -> None:
    path, message = await refused(alice, overrides=models | {"budget": {"maxCostUsd": 1}})
    assert path == "overrides.budget.maxCostUsd"
    assert "AGENTCONTAINER_MODEL_PRICES_FILE" in message
    await alice.dispatch(overrides=models | {"budget": {"maxTokens": 100_000}})


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"maxTokens": 1}, "maxTokens"), ({"maxTokens": 20_000}, "maxTokens"), ({"maxCostUsd": 0.05}, "maxCostUsd"),
        ({"maxTokens": 10**6, "maxCostUsd": 0.000001}, "maxCostUsd"),
    ],
)  # fmt: skip
async def test_a_budget_too_small_for_two_requests_is_refused_with_the_least_amount(
    alice: Account, budget: dict[str, Any], field: str
) -> None:
    path, message = await refused(alice, overrides={"budget": budget})
    assert path == f"overrides.budget.{field}"
    assert message.startswith("is too little for two model requests: give at least ")
    least = json.loads(message.rpartition(" ")[2])
    await alice.dispatch(overrides={"budget": {field: least}})
    await refused(alice, overrides={"budget": {field: least}}, instructions="words " * 4000)


async def test_a_later_budget_must_leave_room_beside_what_is_used(bed: Bed, alice: Account) -> None:
    task_id = await alice.awaiting_input()
    await bed.pool.execute(
        "UPDATE tasks SET input_tokens = 90000, unreported_tokens = 8000 WHERE id = $1", task_id
    )
    path = f"/api/v1/conversations/{task_id}/messages"
    body: dict[str, Any] = {"content": "More.", "overrides": {"budget": {"maxTokens": 100_000}}}
    fault = error_of(await alice.post(path, body))["details"][0]
    assert fault["path"] == "overrides.budget.maxTokens"
    assert "in addition to what the task has used" in fault["message"]
    body["overrides"]["budget"]["maxTokens"] = 200_000
    assert (await alice.post(path, body)).status_code == 201


async def test_an_agent_has_no_budget(alice: Account) -> None:
    answer = await alice.post(
        "/api/v1/agents", {"name": "Frugal", "basePrompt": "x", "defaults": {"budget": {"maxTokens": 5}}}
    )
    assert answer.status_code == 400, answer.text


async def test_the_title_is_from_the_instructions_until_a_model_wrote_one(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch(instructions="# Count the sheep\nAll.", titleSource="model")
    assert task["title"] == "Count the sheep"
    async with bed.pool.acquire() as connection, connection.transaction():
        claim = await claims.claim(connection, task["id"], "run_test")
    assert claim is not None
    await service.set_title(bed.pool, claim, "Sheep, counted")
    await service.set_title(bed.pool, model.Claim(task["id"], claim.attempt + 1), "Too late")
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json()["title"] == "Sheep, counted"
    events = (await alice.get(f"/api/v1/tasks/{task['id']}/events")).json()["data"]
    assert [event["data"] for event in events if event["type"] == "task.titled"] == [
        {"title": "Sheep, counted"}
    ]


async def test_the_source_of_a_title_is_stored(bed: Bed, alice: Account) -> None:
    for body, stored in (
        ({}, "instructions"),
        ({"titleSource": "instructions", "title": "Mine"}, "instructions"),
        ({"titleSource": "model"}, "model"),
    ):
        row = await store.get(bed.pool, (await alice.dispatch(**body))["id"])
        assert row is not None
        assert row.title_source == stored


async def test_a_given_title_and_a_models_exclude_each_other(alice: Account) -> None:
    assert (await refused(alice, title="Mine", titleSource="model"))[0] == "titleSource"
    assert (await refused(alice, titleSource="magic"))[0] == "titleSource"


async def test_usage_totals_may_arrive_twice_and_in_any_order(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    async with bed.pool.acquire() as connection, connection.transaction():
        claim = await claims.claim(connection, task_id, "run_test")
    assert claim is not None
    for totals in (
        (100, 10, 5, 42, 50),
        (200, 20, 10, 84, 150),
        (200, 20, 10, 84, 150),
        (100, 10, 5, 42, 50),
    ):
        await store.raise_usage(bed.pool, claim, model.TaskUsage(*totals))
    row = await store.get(bed.pool, task_id)
    assert row is not None
    assert (row.input_tokens, row.output_tokens, row.unreported_tokens, row.model_cost_micro_usd) == (
        200,
        20,
        10,
        84,
    )
    task = (await alice.get(f"/api/v1/tasks/{task_id}")).json()
    assert task["tokenUsage"] == {"input_tokens": 200, "output_tokens": 20, "cached_input_tokens": 150}
    assert (task["costUsd"], task["modelCostUsd"]) == (0, 0.000084)
