"""How a task ends without success: the provider fails, the agent stops, Pi dies, time runs out, a client cancels."""

import time

import psutil
import pytest

from agentcontainer_client import Conflict

from .conftest import PROVIDERS, Client, Platform, finish, script


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_wrong_key_fails_with_the_providers_own_words_and_without_the_key(
    client: Client, provider: str
) -> None:
    key = "sk-invalid-0123456789abcdef"
    task = client.run(
        script(finish()),
        overrides={"provider": provider, "model": PROVIDERS[provider], "providerApiKey": key},
    )
    assert (task["status"], task["errorCode"]) == ("failed", "provider_error"), task
    assert "401" in task["error"]
    assert key not in str(task) + str(client.events(task["id"]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_refuses_requests_fails_the_task(client: Client, provider: str) -> None:
    task = client.run(
        script({"error": 400, "message": "the model is on fire", "times": 50}),
        overrides={"provider": provider, "model": PROVIDERS[provider]},
    )
    assert (task["status"], task["errorCode"]) == ("failed", "provider_error"), task
    assert "the model is on fire" in task["error"]


def test_a_provider_that_recovers_is_retried(client: Client) -> None:
    task = client.run(script({"error": 500, "times": 2}, finish()))
    assert task["status"] == "finished", task
    assert [e["type"] for e in client.events(task["id"])].count("model.retried") == 2


def test_a_stream_cut_in_the_middle_is_retried_or_fails_as_provider_error(client: Client) -> None:
    task = client.run(script({"cut": True}, finish()))
    assert task["status"] == "finished" or task["errorCode"] == "provider_error", task
    assert "model.retried" in [event["type"] for event in client.events(task["id"])]


def test_an_agent_that_never_finishes_is_asked_three_times(client: Client) -> None:
    task = client.run(script({"say": "I think I am done."}))
    assert (task["status"], task["errorCode"]) == ("failed", "agent_stopped"), task
    assert [e["type"] for e in client.events(task["id"])].count("agent.reminded") == 3


@pytest.mark.parametrize("command", ["kill -9 $PPID", "kill -9 -1"])
def test_pi_killed_by_its_agent_is_agent_crashed(client: Client, command: str) -> None:
    task = client.run(script({"bash": command}))
    assert (task["status"], task["errorCode"]) == ("failed", "agent_crashed"), task
    assert task["error"] == (
        "Pi was ended by SIGKILL, which a process in the container sent, not the platform. "
        f"The agent's last command was: {command}"
    )


def test_the_hard_limit_fails_the_task(client: Client) -> None:
    task = client.run(script({"bash": "sleep 60"}), overrides={"maxRuntimeSeconds": 3})
    assert (task["status"], task["errorCode"]) == ("failed", "max_runtime_exceeded"), task
    assert 3 / 60 <= task["containerMinutes"] < 8 / 60


def test_at_the_soft_limit_the_agent_is_told_in_the_middle_of_its_work(client: Client) -> None:
    task = client.run(
        script(*[{"bash": "sleep 3000"}] * 2, finish()),
        overrides={"maxRuntimeSeconds": 42, "softFinishAfterSeconds": 2},
    )
    assert task["status"] == "finished", task
    events = client.events(task["id"])
    reminders = [event["data"] for event in events if event["type"] == "agent.reminded"]
    assert reminders[0] == {"reason": "soft_finish"}
    # The second command began after the agent was told, and so it had ten seconds.
    ended = [event["data"] for event in events if event["type"] == "tool.completed"][:2]
    assert all("because time is running out" in call["output"] for call in ended), ended
    assert ended[1]["durationMs"] < 25_000


def test_cancel_stops_the_container_within_five_seconds(client: Client, shared_platform: Platform) -> None:
    task_id = client.dispatch(script({"bash": "echo $$ > pid; sleep 300"}))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    before: set[int] = set()
    until = time.monotonic() + 10
    while len(before) < 4 and time.monotonic() < until:  # the command's own processes follow its event
        groups = [group for mark, group in shared_platform.sandboxes().items() if task_id in mark]
        before = {process.pid for group in groups for process in group}
    assert len(before) >= 4
    cancelled_at = time.monotonic()
    assert client.cancel(task_id)["status"] == "cancelled"
    while before & set(psutil.pids()):
        assert time.monotonic() - cancelled_at < 5
        time.sleep(0.05)
    task = client.task(task_id)
    assert (task["status"], task["errorCode"]) == ("cancelled", None)
    assert 0 < task["costUsd"] < 0.05
    assert client.cancel(task_id)["status"] == "cancelled"
    assert client.events(task_id)[-1]["type"] == "task.cancelled"


def test_a_pending_task_can_be_cancelled_and_a_finished_one_not(
    client: Client, shared_platform: Platform
) -> None:
    task_id = client.run(script(finish()))["id"]
    shared_platform.until_container_released(task_id)
    finished = client.task(task_id)
    with pytest.raises(Conflict):
        client.cancel(finished["id"])
    assert client.task(finished["id"]) == finished
