"""`overrides.budget` and `titleSource`, with real Pi: what a client sees when the budget is used up."""

import json
from typing import Any

import pytest

from agentcontainer_client import ValidationFailed

from .conftest import PROVIDERS, Client, finish, script

# After this, the next request and the one kept free beside it would exceed the limits below; one alone would not.
FILL_THE_CONTEXT = {"bash": "head -c 40000 /dev/zero | tr '\\0' x; sleep 0.3"}
MAX_TOKENS = 40_000
MAX_COST_USD = 0.16


def reminders(client: Client, task: dict[str, Any]) -> list[str]:
    return [
        event["data"]["reason"] for event in client.events(task["id"]) if event["type"] == "agent.reminded"
    ]


def tokens_of(task: dict[str, Any]) -> int:
    return sum(task["tokenUsage"].values())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_agent_whose_tokens_are_used_up_can_still_finish(client: Client, provider: str) -> None:
    overrides = {"provider": provider, "model": PROVIDERS[provider], "budget": {"maxTokens": MAX_TOKENS}}
    task = client.run(script(FILL_THE_CONTEXT, finish(message="As far as I got.")), overrides=overrides)
    assert (task["status"], task["result"], task["errorCode"]) == ("finished", "As far as I got.", None), task
    assert task["overrides"] == overrides
    assert reminders(client, task) == ["budget"]
    assert tokens_of(task) <= MAX_TOKENS


@pytest.mark.parametrize("budget", [{"maxTokens": MAX_TOKENS}, {"maxCostUsd": MAX_COST_USD}])
def test_an_agent_that_does_not_finish_with_its_last_request_fails(
    client: Client, budget: dict[str, Any]
) -> None:
    task = client.run(
        script(FILL_THE_CONTEXT, {"bash": "echo going on"}, finish()), overrides={"budget": budget}
    )
    assert (task["status"], task["errorCode"]) == ("failed", "budget_exceeded"), task
    assert "overrides.budget" in task["error"]
    assert reminders(client, task) == ["budget"]
    tools = [event for event in client.events(task["id"]) if event["type"] == "tool.completed"]
    results = [(event["data"]["output"][:20], len(event["data"]["output"])) for event in tools]
    assert len(tools) == 2, results  # the request before the limit, and the last one


def test_an_agent_whose_money_is_used_up_can_still_finish(client: Client) -> None:
    task = client.run(
        script(FILL_THE_CONTEXT, finish(complete=False)), overrides={"budget": {"maxCostUsd": MAX_COST_USD}}
    )
    assert (task["status"], task["completion"]) == ("finished", "incomplete"), task
    assert reminders(client, task) == ["budget"]
    assert task["costUsd"] < 0.01  # container time only


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("field", ["maxTokens", "maxCostUsd"])
def test_the_least_budget_carries_two_requests(client: Client, provider: str, field: str) -> None:
    instructions = script({"bash": "true"}, finish())
    overrides: dict[str, Any] = {"provider": provider, "model": PROVIDERS[provider], "budget": {field: 0.01}}
    if field == "maxTokens":
        overrides["budget"] = {field: 1}
    with pytest.raises(ValidationFailed) as refused:
        client.dispatch(instructions, overrides=overrides)
    least = json.loads(refused.value.message.rpartition(" ")[2])
    task = client.run(instructions, overrides=overrides | {"budget": {field: least}})
    assert (task["status"], reminders(client, task)) == ("finished", []), task


def test_a_sufficient_budget_changes_nothing(client: Client) -> None:
    budget = {"maxTokens": 1_000_000, "maxCostUsd": 10}
    task = client.run(script({"bash": "true"}, finish()), overrides={"budget": budget})
    assert (task["status"], reminders(client, task)) == ("finished", [])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_model_writes_the_title_beside_the_work(client: Client, provider: str) -> None:
    overrides = {"provider": provider, "model": PROVIDERS[provider]}
    steps = script({"bash": "sleep 1"}, finish(), task="Count all the sheep.")
    task = client.run(steps, titleSource="model", overrides=overrides)
    assert (task["status"], task["title"]) == ("finished", "About: Count all the sheep.")
    titled = [event for event in client.events(task["id"]) if event["type"] == "task.titled"]
    assert [event["data"] for event in titled] == [{"title": task["title"]}]
