"""Conversations with real Pi: warm and cold starts, killed runners and API, steering, handoff, and ends."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from agentcontainer.domain.tasks.service import CANCEL_CHANNEL
from agentcontainer.embedded.location import url_of
from agentcontainer_client import Conflict

from .conftest import Client, Platform, finish, script, waiting

ON_ONE_PLATFORM = pytest.mark.xdist_group("brief")

WARM_SECONDS = 5


@pytest.fixture(scope="module")
def brief_platform(scripted_url: str) -> Iterator[Platform]:
    """A platform that keeps idle containers only briefly."""
    with Platform(scripted_url, capacity="2", warm_seconds=str(WARM_SECONDS)) as platform:
        yield platform


def answered(client: Client, task_id: str, turn: int, seconds: float = 60) -> dict[str, Any]:
    """Wait until this turn is over and the task awaits input; returns the task."""
    deadline = time.monotonic() + seconds
    while True:
        task = client.wait(task_id, "awaiting_input", "failed", seconds=seconds)
        assert task["status"] == "awaiting_input", task
        if task["turnNumber"] == turn and task["turnStatus"] in ("completed", "failed"):
            return task
        assert time.monotonic() < deadline, task
        time.sleep(0.05)


def until_cold(platform: Platform) -> None:
    deadline = time.monotonic() + WARM_SECONDS + 60
    while platform.sandboxes():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_tool(client: Client, task_id: str, turn: int) -> None:
    client.until_event(
        task_id, lambda event: event["type"] == "tool.started" and event["data"]["turnNumber"] == turn
    )


@pytest.mark.long
@ON_ONE_PLATFORM
def test_five_turns_survive_warm_and_cold_starts_and_two_kills(brief_platform: Platform) -> None:
    platform = brief_platform
    client = platform.account()
    note = "echo {0} >> log.txt; sha256sum log.txt > sum{0}.txt; share sum{0}.txt"
    task_id = client.begin(script({"bash": note.format(1)}, {"say": "First."}, task="One."))
    answered(client, task_id, 1)

    assert (
        client.send(task_id, script({"bash": note.format(2)}, {"say": "Second."}))["task"]["status"]
        == "running"
    )
    answered(client, task_id, 2)
    assert len([mark for mark in platform.sandboxes() if task_id in mark]) == 1, "the same container"

    until_cold(platform)
    slow = script({"bash": f"{note.format(3)}; sleep 4"}, {"say": "Third."})
    assert client.send(task_id, slow)["task"]["status"] == "pending"
    until_tool(client, task_id, 3)
    platform.kill("runner")
    answered(client, task_id, 3)

    client.send(task_id, script({"bash": f"{note.format(4)}; sleep 3"}, {"say": "Fourth."}))
    until_tool(client, task_id, 4)
    platform.kill("api")
    platform.wait_ready()
    answered(client, task_id, 4)

    client.send(task_id, "What did I say?")
    answered(client, task_id, 5)
    messages = client.messages(task_id)
    assert [(m["turnNumber"], m["role"], m["status"]) for m in messages] == [
        (turn, role, status)
        for turn in range(1, 6)
        for role, status in (("user", "delivered"), ("assistant", "created"))
    ]
    assert [m["attemptNumber"] for m in messages] == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1]
    replies = [m["content"] for m in messages if m["role"] == "assistant"]
    assert replies[:4] == ["First.", "Second.", "Third.", "Fourth."]
    assert "Messages so far from you: 5" in replies[4], "the new container has the whole context"
    shared = [[file["filename"] for file in m["files"]] for m in messages if m["role"] == "assistant"]
    assert shared == [["sum1.txt"], ["sum2.txt"], ["sum3.txt"], ["sum4.txt"], []]
    client.send(task_id, script({"bash": "cat log.txt"}))
    answered(client, task_id, 6)
    outputs = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"]
    assert outputs[-1] == "1\n2\n3\n4\n", "the lost attempt left nothing, and the repeated turn wrote once"
    assert_numbers_fit_the_log(client, task_id)

    assert client.end(task_id)["status"] == "finished"
    task = client.task(task_id)
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    until_cold(platform)


def assert_numbers_fit_the_log(client: Client, task_id: str) -> None:
    """Check that messages and activities have their events' sequence numbers, in one order."""
    events = {event["sequence"]: event for event in client.events(task_id)}
    for message in client.messages(task_id):
        assert events[message["sequence"]]["type"] == "message.created"
        assert events[message["sequence"]]["data"]["id"] == message["id"]
    for activity in client.get(f"/conversations/{task_id}/activities", limit=100)["data"]:
        assert events[activity["startedSequence"]]["type"] == "tool.started"
        if activity["completedSequence"] is None:
            assert (activity["status"], activity["errorCode"]) == ("failed", "interrupted")
        else:
            assert events[activity["completedSequence"]]["data"]["callId"] == activity["callId"]


def test_messages_sent_while_a_turn_runs_are_answered_in_order(
    client: Client, shared_platform: Platform
) -> None:
    task_id = client.begin(script(waiting(), {"say": "One."}))
    until_tool(client, task_id, 1)
    for number in range(2, 6):
        assert client.send(task_id, f"Message {number}.")["message"]["status"] == "queued"
    shared_platform.unblock(task_id)
    answered(client, task_id, 5)
    replies = [m["content"] for m in client.messages(task_id) if m["role"] == "assistant"]
    assert replies[0] == "One."
    assert [f"Message {n}" in reply for n, reply in enumerate(replies[1:], 2)] == [True] * 4


def test_the_files_of_a_message_are_placed_before_its_turn(client: Client) -> None:
    first = client.upload("data.csv", b"a,b\n1,2\n")
    second = client.upload("data.csv", b"other\n")
    task_id = client.begin(script({"bash": "cat task_files/data.csv"}), inputFileIds=[first])
    answered(client, task_id, 1)
    response = client.send(
        task_id, script({"bash": "cat 'task_files/data (2).csv'"}), inputFiles=[{"fileId": second}]
    )
    assert [file["id"] for file in response["message"]["files"]] == [second]
    answered(client, task_id, 2)
    outputs = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"]
    assert outputs == ["a,b\n1,2\n", "other\n"]
    with pytest.raises(Conflict):  # a live task uses it
        client.once.files.delete(second)


def test_the_overrides_of_a_message_apply_from_its_turn_on(client: Client) -> None:
    task_id = client.begin(script({"bash": "echo kept > a.txt"}))
    answered(client, task_id, 1)
    assert client.task(task_id)["execution"]["model"] == "claude-sonnet-4-6"
    client.send(task_id, "Hello?", overrides={"provider": "openai", "model": "gpt-5.2"})
    answered(client, task_id, 2)
    task = client.task(task_id)
    assert task["execution"] == {"provider": "openai", "model": "gpt-5.2", "weakModel": None}
    client.send(task_id, script({"bash": "cat a.txt"}))
    answered(client, task_id, 3)
    assert client.task(task_id)["execution"]["model"] == "gpt-5.2"
    assert client.events(task_id)[-1]["type"] == "task.awaiting_input"
    outputs = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"]
    assert outputs[-1] == "kept\n"


def test_a_late_report_of_the_previous_container_does_not_stop_the_next(shared_platform: Platform) -> None:
    client = shared_platform.account()
    task_id = client.begin("Hello.")
    answered(client, task_id, 1)
    payloads: list[str] = []

    async def replay() -> None:
        connection = await asyncpg.connect(url_of(shared_platform.data_dir))
        try:
            await connection.add_listener(CANCEL_CHANNEL, lambda *arguments: payloads.append(arguments[-1]))
            overrides = {"provider": "openai", "model": "gpt-5.2"}  # take a new container
            await asyncio.to_thread(client.send, task_id, script(waiting()), overrides=overrides)
            await asyncio.to_thread(until_tool, client, task_id, 2)
            [payload] = [payload for payload in payloads if task_id in payload]
            await connection.execute("SELECT pg_notify($1, $2)", CANCEL_CHANNEL, payload)
            await asyncio.sleep(1)  # long enough for its runner to have received it
            await asyncio.to_thread(shared_platform.unblock, task_id)
        finally:
            await connection.close()

    asyncio.run(replay())
    answered(client, task_id, 2)
    assert [message["attemptNumber"] for message in client.messages(task_id)] == [1, 1, 1, 1]
    assert "task.requeued" not in [event["type"] for event in client.events(task_id)]


def test_a_failed_model_request_fails_the_turn_but_not_the_conversation(client: Client) -> None:
    task_id = client.begin(script({"error": 400, "message": "no such thing", "times": 9}))
    task = answered(client, task_id, 1)
    assert (task["turnStatus"], task["errorCode"]) == ("failed", "provider_error")
    assert "no such thing" in task["error"]
    client.send(task_id, script({"say": "Better."}))
    task = answered(client, task_id, 2)
    assert (task["turnStatus"], task["errorCode"], task["error"]) == ("completed", None, None)
    assert [m["content"] for m in client.messages(task_id)][-1] == "Better."


def test_a_turn_at_its_time_limit_fails_and_the_conversation_goes_on_from_before_it(client: Client) -> None:
    first = client.upload("data.csv", b"a,b\n")
    endless = {"bash": "touch made.txt; sleep 60"}
    brief, usual = {"maxRuntimeSeconds": 4}, {"maxRuntimeSeconds": 600}
    task_id = client.begin(script(endless), instructions="Be brief.", inputFileIds=[first],
        overrides=brief,
    )  # fmt: skip
    task = answered(client, task_id, 1)
    assert (task["turnStatus"], task["errorCode"]) == ("failed", "max_runtime_exceeded"), task
    assert "The turn reached its limit of 4 seconds" in task["error"]

    look = (
        "ls . task_files > kept.txt; cat kept.txt; grep -rho 'standing instructions' /workspace/.pi/sessions"
    )
    client.send(task_id, script({"bash": look}, {"say": "Quick."}), overrides=usual)
    task = answered(client, task_id, 2)
    assert (task["turnStatus"], task["error"]) == ("completed", None), task
    seen = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"][-1]
    assert "data.csv" in seen
    assert "standing instructions" in seen, "the agent is told what it was to learn in the first turn"
    assert "made.txt" not in seen

    client.send(task_id, script({"bash": "rm kept.txt; sleep 60"}), overrides=brief)
    assert answered(client, task_id, 3)["errorCode"] == "max_runtime_exceeded"
    client.send(task_id, script({"bash": "ls"}, {"say": "There."}), overrides=usual)
    task = answered(client, task_id, 4)
    seen = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"][-1]
    assert "kept.txt" in seen
    replies = [m["content"] for m in client.messages(task_id) if m["role"] == "assistant"]
    assert replies == ["Quick.", "There."]
    assert task["containerMinutes"] >= 8 / 60, "failed turns are charged"


def test_a_handed_off_conversation_goes_on_alone_until_finish(client: Client) -> None:
    task_id = client.begin(script({"bash": "echo 1 > a.txt; finish --complete-task --message early || true"}))
    answered(client, task_id, 1)
    outputs = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"]
    assert "This is a conversation" in outputs[0]
    client.sdk.conversations.get(task_id).handoff(script({"bash": "sleep 1"}, finish("a.txt")))
    with pytest.raises(Conflict):
        client.send(task_id, "More")
    task = client.wait(task_id)
    assert (task["status"], task["completion"], task["result"]) == ("finished", "complete", "Done as asked.")
    assert client.outputs(task_id) == {"a.txt": b"1\n"}


def test_a_message_steers_a_running_task(client: Client, shared_platform: Platform) -> None:
    task_id = client.dispatch(script(waiting(), {"bash": "true"}, finish()))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    assert client.steer(task_id, "And be quick.")["status"] == "queued"
    shared_platform.unblock(task_id)
    assert client.wait(task_id)["status"] == "finished"
    [message] = client.get(f"/tasks/{task_id}/messages")["data"]
    assert (message["status"], message["content"]) == ("delivered", "And be quick.")
    kinds = [event["type"] for event in client.events(task_id)]
    assert kinds.index("tool.completed") < kinds.index("message.delivered"), (
        "delivered after the running tool"
    )
    assert kinds.index("message.delivered") < kinds.index("tool.started", kinds.index("tool.completed"))


@pytest.mark.parametrize("verb", ["cancel", "end"])
def test_a_warm_container_ends_with_its_conversation(shared_platform: Platform, verb: str) -> None:
    client = shared_platform.account()
    task_id = client.begin("Hello.")
    answered(client, task_id, 1)
    assert shared_platform.sandboxes()
    stop, status = {"cancel": (client.cancel, "cancelled"), "end": (client.end, "finished")}[verb]
    for _ in range(2):  # repeating it is allowed
        assert stop(task_id)["status"] == status
    deadline = time.monotonic() + 15
    while any(task_id in mark for mark in shared_platform.sandboxes()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(Conflict):
        client.send(task_id, "?")


@pytest.mark.long
@ON_ONE_PLATFORM
def test_idle_conversations_give_their_slots_to_waiting_tasks(brief_platform: Platform) -> None:
    """Capacity is 2: two conversations are idle, and a task gets a slot at once nevertheless."""
    client = brief_platform.account()
    waiting = [client.begin("Hello.") for _ in range(2)]
    for task_id in waiting:
        answered(client, task_id, 1)
    assert client.run(script(finish()))["status"] == "finished"
    for task_id in waiting:
        client.send(task_id, "Still there?")
    for task_id in waiting:
        answered(client, task_id, 2)
        assert "Messages so far from you: 2" in client.messages(task_id)[-1]["content"]


@ON_ONE_PLATFORM
def test_a_workspace_without_permissions_is_usable_after_hibernation(brief_platform: Platform) -> None:
    client = brief_platform.account()
    closed = "cd ../.pi/agent && ln -sf /etc/passwd models.json && chmod 000 /workspace/task"
    task_id = client.begin(script({"bash": closed}))
    answered(client, task_id, 1)
    until_cold(brief_platform)
    client.send(
        task_id,
        script({"bash": "cd ../.pi/agent && stat -c %F:%U models.json && echo mine > ~/mine"}),
    )
    answered(client, task_id, 2)
    output = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"][-1]
    assert output == "regular file:agent\n"


@ON_ONE_PLATFORM
def test_files_of_the_agent_are_there_after_a_warm_and_a_cold_start(brief_platform: Platform) -> None:
    client = brief_platform.account()
    task_id = client.begin(script({"bash": "echo noted >> TASK.md"}), instructions="Be brief.")
    answered(client, task_id, 1)
    until_cold(brief_platform)
    client.send(task_id, script({"bash": "cat TASK.md"}))
    answered(client, task_id, 2)
    output = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"][-1]
    assert output.split() == ["Be", "brief.noted"]


@pytest.mark.long
def test_a_waiting_task_of_another_account_gets_the_slot_of_a_conversation_after_its_turn(
    scripted_url: str,
) -> None:
    platform = Platform(scripted_url, capacity="1")
    try:
        platform.start()
        client, other = platform.account(), platform.account()
        first = client.begin(script(waiting()))
        until_tool(client, first, 1)
        for number in range(4):
            client.send(first, script({"bash": "sleep 1"}, task=f"More {number}."))
        task_id = other.dispatch(script(finish()))
        time.sleep(2)  # the runner knows of it
        platform.unblock(first)
        task = other.wait(task_id)
        assert task["status"] == "finished", task
        answered(client, first, 5)
        last = [event for event in client.events(first) if event["type"] == "tool.started"][-1]
        assert task["startedAt"] < last["createdAt"], (
            "the task got a slot before all queued messages were answered"
        )
    finally:
        platform.close()
