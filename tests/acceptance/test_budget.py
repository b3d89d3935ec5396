"""`overrides.budget` and `titleSource`, with real Pi: what a client sees when the budget is used up."""

import json
import time
from typing import Any

import pytest

from agentcontainer_client import Conflict, ValidationFailed

from .conftest import PROVIDERS, TERMINAL, Client, Platform, finish, script

# After this, the next request and the one kept free beside it would exceed the limits below; one alone would not.
FILL_THE_CONTEXT = {"bash": "head -c 40000 /dev/zero | tr '\\0' x; sleep 0.3"}
MAX_TOKENS = 40_000
MAX_COST_USD = 0.16


def reminders(client: Client, task: dict[str, Any]) -> list[str]:
    return [
        event["data"]["reason"] for event in client.events(task["id"]) if event["type"] == "agent.reminded"
    ]


def tokens_of(task: dict[str, Any]) -> int:
    return task["tokenUsage"]["input_tokens"] + task["tokenUsage"]["output_tokens"]


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


@pytest.mark.parametrize("kills", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_task_is_paused_by_its_budget_and_goes_on_each_time_it_is_raised(
    quick_platform: Platform, kills: int
) -> None:
    """With a kill, the runner is killed -9 while the task goes on after its third pause."""
    client, steps = quick_platform.account(), 16 if kills else 3
    lines = [
        {"bash": f"echo {n} >> work.txt; head -c 2000 /dev/zero | tr '\\0' x; sleep 0.3"}
        for n in range(steps)
    ]
    budget = {"maxTokens": 26_000, "onReached": "pause"}
    task_id = client.dispatch(script(*lines, finish("work.txt")), overrides={"budget": budget})
    pauses = used = 0
    while True:
        client.wait(task_id, "hibernating", *TERMINAL)
        task = client.task(task_id)
        if task["status"] in TERMINAL:
            break
        pauses += 1
        assert (task["hibernationReason"], task["wakeUrl"]) == ("budget", None)
        is_stuck = task["budget"]["usedTokens"] == used
        used = task["budget"]["usedTokens"]
        assert used <= task["budget"]["maxTokens"]
        limit = max(task["budget"]["maxTokens"] + 1000, used + 24_000) + 20_000 * is_stuck
        raised = client.once.tasks.update(task_id, budget={"maxTokens": limit})
        assert raised.status == "pending"
        if kills and pauses == 3:
            client.wait(task_id, "running", *TERMINAL)
            time.sleep(1)
            quick_platform.kill("runner")
    assert (task["status"], task["completion"]) == ("finished", "complete"), task
    assert pauses >= (5 if kills else 1)
    written = client.outputs(task_id)["work.txt"].decode().split()
    expected = [str(n) for n in range(steps)]
    assert (list(dict.fromkeys(written)) if kills else written) == expected
    events = client.events(task_id)
    assert [event["type"] for event in events].count("budget.reached") == pauses
    assert [event["data"]["kind"] for event in events if event["type"] == "task.woken"] == ["budget"] * pauses
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    [row] = client.once.account.usage(by="model").to_list()
    assert (row.tasks.finished, row.cost_usd) == (1, pytest.approx(task["costUsd"], abs=1e-6))
    assert row.tokens.input == task["tokenUsage"]["input_tokens"]


def test_a_conversation_waits_for_its_budget_and_goes_on(client: Client) -> None:
    budget = {"maxTokens": MAX_TOKENS, "onReached": "pause"}
    task_id = client.begin(script(FILL_THE_CONTEXT, {"say": "Never said."}), overrides={"budget": budget})
    task = client.wait(task_id, "awaiting_input")
    assert (task["turnStatus"], task["errorCode"]) == ("failed", "budget_exceeded"), task
    with pytest.raises(Conflict, match="budget"):
        client.send(task_id, "Go on.")
    client.once.tasks.update(task_id, budget={"maxTokens": 10 * MAX_TOKENS})
    client.send(task_id, script({"say": "Here I am."}))
    client.until_event(task_id, lambda event: event["type"] == "turn.completed")
    assert client.messages(task_id)[-1]["content"] == "Here I am."
