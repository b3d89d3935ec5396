"""An overloaded provider: requests wait, then the task hibernates without cost and is tried again, or fails at last."""

import asyncio
from typing import Any

import asyncpg
import pytest

from agentcontainer.embedded.location import url_of

from .conftest import Client, Platform, finish, script
from .test_conversations import answered

OVERLOADED = {"error": 529, "message": "the model is overloaded"}


async def change(platform: Platform, task_id: str, what: str) -> None:
    connection = await asyncpg.connect(url_of(platform.data_dir))
    try:
        await connection.execute(f"UPDATE tasks SET {what} WHERE id = $1", task_id)
    finally:
        await connection.close()


def of(client: Client, task_id: str, kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in client.events(task_id) if event["type"] == kind]


@pytest.mark.parametrize("work", [[], [{"bash": "echo kept > out.txt"}]], ids=["at first", "later"])
def test_a_task_hibernates_for_its_provider_and_goes_on(
    quick_platform: Platform, work: list[dict[str, Any]]
) -> None:
    client = quick_platform.account()
    output = ["out.txt"] if work else []
    task_id = client.dispatch(script(*work, OVERLOADED | {"times": 2}, finish(*output)))
    task = client.wait(task_id, "hibernating", "failed", "finished")
    assert (task["status"], task["hibernationReason"]) == ("hibernating", "provider"), task
    assert (
        of(client, task_id, "task.hibernated")[0]["message"]
        == "anthropic answered 529: the model is overloaded"
    )
    assert of(client, task_id, "model.retried")[0]["waitMs"] <= 200
    # To the scripted model the woken conversation is a new one, so it fails it equally often.
    for _ in range(1 + len(work)):
        asyncio.run(change(quick_platform, task_id, "hibernate_until_at = now()"))
        client.wait(task_id, "pending", "running", "finished")
        task = client.wait(task_id, "hibernating", "failed", "finished")
    assert (task["status"], task["hibernationReason"]) == ("finished", None), task
    assert {data["kind"] for data in of(client, task_id, "task.woken")} == {"provider"}
    assert list(client.outputs(task_id).values()) == [b"kept\n"] * len(work)


def test_an_outage_of_a_day_fails_the_task_with_the_providers_words(quick_platform: Platform) -> None:
    client = quick_platform.account()
    task_id = client.dispatch(script(OVERLOADED | {"times": 50}))
    assert client.wait(task_id, "hibernating", "failed")["status"] == "hibernating"
    past = "now() - interval '25 hours'"
    asyncio.run(
        change(quick_platform, task_id, f"provider_outage_since = {past}, hibernate_until_at = now()")
    )
    task = client.wait(task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "provider_error")
    assert "the model is overloaded" in task["error"]


def test_in_a_conversation_the_turn_fails_and_the_task_goes_on(quick_platform: Platform) -> None:
    client = quick_platform.account()
    task_id = client.begin(script({"say": "First."}))
    answered(client, task_id, 1)
    client.send(task_id, script(OVERLOADED | {"times": 50}))
    task = answered(client, task_id, 2)
    assert (task["turnStatus"], task["errorCode"]) == ("failed", "provider_error")
    assert task["error"] == "anthropic answered 529: the model is overloaded"
    waits = [data["waitMs"] for data in of(client, task_id, "model.retried") if data.get("waitMs")]
    client.send(task_id, script({"error": 502, "message": "a moment"}, {"say": "Third."}))
    assert answered(client, task_id, 3)["turnStatus"] == "completed"
    assert client.messages(task_id)[-1]["content"] == "Third."
    # Each turn waits anew, also after one that has waited in vain.
    again = [data["waitMs"] for data in of(client, task_id, "model.retried") if data.get("waitMs")]
    assert 1 <= len(waits) < len(again)
    client.cancel(task_id)


def test_an_outage_in_the_middle_of_answers_is_waited_for_too(quick_platform: Platform) -> None:
    client = quick_platform.account()
    task_id = client.dispatch(script({"cut": True, "error": 529, "times": 4}, finish()))
    task = client.wait(task_id, "hibernating", "failed", "finished")
    assert (task["status"], task["hibernationReason"]) == ("hibernating", "provider"), task
    client.cancel(task_id)
