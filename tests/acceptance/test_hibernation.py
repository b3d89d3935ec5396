"""Hibernating tasks: every way to wake, cancel, limit and interrupt them; and partial outputs of failed tasks."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcontainer_client import Conflict

from .conftest import Client, Platform, finish, script, waiting

NAP = {"bash": 'hibernate --message "Waiting for the review." --for 30m'}
LOOK = "stat -c '%A %y %s %N' empty link sum.txt; sha256sum sum.txt"
MAKE = "mkdir empty; ln -s log.txt link; echo $RANDOM > sum.txt; chmod 750 empty; touch -d 2001-02-03 sum.txt"
WORK = {"bash": f"{MAKE}; echo one >> log.txt; sleep 300 > /dev/null 2>&1 & {LOOK}"}
# Pi's session file, which contains what the agent was told.
HEARD = {"bash": "find /workspace/.pi -name '*.jsonl' -exec cat {} + | grep '\"role\":\"user\"'"}
AFTER = {"bash": f"echo two >> log.txt; {LOOK}; pgrep sleep || true"}
SLEEPER = script(WORK, NAP, AFTER, finish("log.txt", "sum.txt"))


def hibernating(client: Client, instructions: str = SLEEPER, **fields: Any) -> str:
    """Wait until a dispatched task hibernates; returns its id."""
    task_id = client.dispatch(instructions, **fields)
    task = client.wait(task_id, "hibernating", "failed", "finished")
    assert task["status"] == "hibernating", (task, client.events(task_id)[-5:])
    return task_id


def of(client: Client, task_id: str, kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in client.events(task_id) if event["type"] == kind]


def outputs_of_tools(client: Client, task_id: str) -> list[str]:
    """What the tool calls returned, except those that ended the container."""
    outputs = [data["output"] for data in of(client, task_id, "tool.completed")]
    return [output for output in outputs if not re.match("(hibernate|finish) was accepted", output)]


def test_the_calls_of_hibernate_and_finish_are_logged_as_completed(client: Client) -> None:
    task_id = hibernating(client)
    client.wake(task_id)
    assert client.wait(task_id)["status"] == "finished"
    started = [data["callId"] for data in of(client, task_id, "tool.started")]
    completed = of(client, task_id, "tool.completed")
    assert [data["callId"] for data in completed] == started
    assert not any(data["isError"] for data in completed)
    kinds = [event["type"] for event in client.events(task_id)]
    assert [kinds[kinds.index(end) - 1] for end in ("task.hibernated", "task.finished")] == [
        "tool.completed"
    ] * 2


def count(client: Client, task_id: str, kind: str, seconds: float = 60, at_least: int = 1) -> None:
    """Wait for `count` events of a type."""
    deadline = time.monotonic() + seconds
    while len(of(client, task_id, kind)) < at_least:
        assert time.monotonic() < deadline, client.events(task_id)[-5:]
        time.sleep(0.1)


def test_a_message_wakes_a_task_with_its_files_and_its_conversation(
    client: Client, shared_platform: Platform
) -> None:
    task_id = hibernating(client)
    shared_platform.until_container_released(task_id)
    task = client.task(task_id)
    until = datetime.fromisoformat(task["hibernateUntilAt"])
    assert timedelta(minutes=25) < until - datetime.now(UTC) < timedelta(minutes=31)
    assert task["costUsd"] > 0
    [slept] = of(client, task_id, "task.hibernated")
    assert slept == {
        "status": "hibernating",
        "message": "Waiting for the review.",
        "hibernateUntilAt": task["hibernateUntilAt"],
        "hibernationReason": "agent",
        "hasWakeLink": False,
    }
    time.sleep(1)
    assert client.task(task_id) == task, "it costs nothing meanwhile"

    woken = client.wake(task_id, "The review says:\n\n/change nothing.")
    assert (woken["status"], woken["hibernateUntilAt"]) == ("pending", None)
    with pytest.raises(Conflict):
        client.wake(task_id)
    task = client.wait(task_id)
    assert (task["status"], task["completion"]) == ("finished", "complete"), task
    assert client.outputs(task_id)["log.txt"] == b"one\ntwo\n"
    before, after = outputs_of_tools(client, task_id)[:2]
    assert "drwxr-x---" in before
    assert "link' -> 'log.txt'" in before or "link -> log.txt" in before
    assert after == before, "the same files, and no process"
    assert of(client, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
    assert [data["attempt"] for data in of(client, task_id, "task.started")] == [1, 2]
    assert len(of(client, task_id, "message.delivered")) == 1
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    with pytest.raises(Conflict):
        client.wake(task_id)


@pytest.mark.parametrize(
    ("message", "sentence"), [("Häuser: 3.", "Häuser: 3."), (None, "an external system")]
)
def test_the_prompt_of_a_woken_agent_says_why_it_was_woken(
    client: Client, message: str | None, sentence: str
) -> None:
    task_id = hibernating(client, script(NAP, HEARD, NAP, HEARD, finish()))
    client.wake(task_id, message)
    count(client, task_id, "task.hibernated", at_least=2)
    client.wake(task_id, "Second message.")
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    first, second = outputs_of_tools(client, task_id)[:2]
    assert len(first.splitlines()) == 2, "the prompt has the task, and why the agent continues"
    assert first.count("You called hibernate, because:\\n\\nWaiting for the review.") == 1
    assert sentence in first.splitlines()[1]
    assert second.startswith(first.strip())
    assert "Second message." in second.splitlines()[2]
    assert sentence not in second.splitlines()[2], "the agent is told once"


def test_a_message_that_came_too_late_for_its_agent_wakes_it_at_once(
    client: Client, shared_platform: Platform
) -> None:
    task_id = client.dispatch(script(waiting(then=NAP["bash"]), HEARD, finish()))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    client.steer(task_id, "And be quick.")
    shared_platform.unblock(task_id)
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert of(client, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
    assert outputs_of_tools(client, task_id)[0].count("And be quick.") == 1
    [message] = client.get(f"/tasks/{task_id}/messages")["data"]
    assert message["status"] == "delivered"


def test_an_agent_that_lost_its_context_gets_its_instructions_again(client: Client) -> None:
    forget = f"touch asleep; rm -rf ~ /workspace/.pi; touch asleep; {NAP['bash']}"
    steps = script({"bash": f"[ -e asleep ] || {{ {forget}; }}"}, HEARD, finish())
    task_id = hibernating(client, steps)
    client.wake(task_id)
    task = client.wait(task_id)
    assert task["status"] == "finished", (task, client.events(task_id)[-5:])
    assert of(client, task_id, "context.lost") == [{}]
    tool_output = outputs_of_tools(client, task_id)[-1]
    assert "You remember nothing of your work so far" in tool_output
    assert "You called hibernate" in tool_output


def test_the_deadline_wakes_a_task(client: Client) -> None:
    nap = {"bash": 'hibernate --message "A short nap." --for 2s'}
    began_at = time.monotonic()
    task = client.run(script(nap, nap, finish()))
    assert task["status"] == "finished", task
    assert time.monotonic() - began_at > 4
    assert of(client, task["id"], "task.woken") == [{"status": "pending", "kind": "deadline"}] * 2
    assert len(of(client, task["id"], "task.hibernated")) == 2


def test_a_wake_link_wakes_once(client: Client) -> None:
    link = {"bash": "hibernate --wake-link | tee link.txt"}
    task_id = hibernating(client, script(link, NAP, {"bash": "date"}, NAP, finish("link.txt")))
    [url] = re.findall(r"http://\S+/wake/\S+", outputs_of_tools(client, task_id)[0])
    page = httpx2.get(url, trust_env=False, verify=False)
    assert (page.status_code, "Waiting for the review." in page.text) == (200, True)
    assert client.task(task_id)["status"] == "hibernating", "showing the page wakes nothing"
    answer = httpx2.post(url, json={"message": "Go on."}, trust_env=False, verify=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "woken"})
    count(client, task_id, "task.hibernated", at_least=2)
    assert of(client, task_id, "task.woken") == [{"status": "pending", "kind": "link"}]
    assert httpx2.post(url, json={}, trust_env=False, verify=False).status_code == 409
    assert client.task(task_id)["status"] == "hibernating"
    client.wake(task_id)
    assert client.wait(task_id)["status"] == "finished"
    assert client.outputs(task_id)["link.txt"].decode().strip() == url


def test_a_conversation_cannot_hibernate(client: Client) -> None:
    commands = {"bash": f"{NAP['bash']}; echo $?; hibernate --wake-link; echo $?"}
    task_id = client.begin(script(commands, {"say": "Refused."}))
    client.wait(task_id, "awaiting_input", "hibernating", "failed")
    [output] = outputs_of_tools(client, task_id)
    assert output.count("Conversations cannot hibernate: end your turn instead") == 2
    assert re.findall(r"^\d$", output, re.MULTILINE) == ["1", "1"]
    assert client.task(task_id)["status"] == "awaiting_input"
    client.end(task_id)


@pytest.mark.long
def test_a_conversation_that_was_handed_off_hibernates(client: Client) -> None:
    task_id = client.begin("Hello.")
    client.wait(task_id, "awaiting_input")
    two = {"bash": f"echo two >> log.txt; {HEARD['bash']}"}
    steps = script({"bash": "echo one >> log.txt"}, NAP, two, finish("log.txt"))
    client.sdk.conversations.get(task_id).handoff(steps)
    client.wait(task_id, "hibernating", "failed")
    client.wake(task_id, "Go on now.")
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"log.txt": b"one\ntwo\n"}
    output = outputs_of_tools(client, task_id)[1]
    assert "You called hibernate, because:" in output
    assert output.count("Go on now.") == 1


def test_a_refused_hibernation_leaves_the_task_at_work(client: Client) -> None:
    refusals = {
        '--message "x" --for 4000d': "at most 366 days ahead",
        '--message "x" --until 2020-01-01T00:00:00Z': "at least 1 second ahead",
        '--message "x"': "use --for 90m or --until",
    }
    task = client.run(script(*({"bash": f"hibernate {arguments}"} for arguments in refusals), finish()))
    assert task["status"] == "finished", task
    for hint, output in zip(refusals.values(), outputs_of_tools(client, task["id"]), strict=True):
        assert hint in output


@pytest.mark.long
def test_cancelling_a_hibernating_task_keeps_its_partial_outputs(client: Client) -> None:
    task_id = hibernating(client)
    before = client.task(task_id)
    assert client.cancel(task_id)["status"] == "cancelled"
    task = client.task(task_id)
    assert (task["costUsd"], task["hibernateUntilAt"]) == (before["costUsd"], None)
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    with pytest.raises(Conflict):
        client.wake(task_id)
    deadline = time.monotonic() + 60
    while not client.outputs(task_id):
        assert time.monotonic() < deadline, "no partial outputs from the checkpoint"
        time.sleep(0.5)
    files = client.files(task_id)
    assert {(file["filename"], file["partial"]) for file in files} == {("log.txt", True), ("sum.txt", True)}


def test_the_time_limit_counts_across_hibernations(client: Client) -> None:
    task_id = hibernating(client, script({"bash": "sleep 4"}, NAP, {"bash": "sleep 60"}, finish()))
    time.sleep(4)
    limit = round(client.task(task_id)["containerMinutes"] * 60) + 4  # a slow machine must not fail the test
    client.wake(task_id, max_runtime=limit)
    task = client.wait(task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "max_runtime_exceeded"), task
    assert limit / 60 <= task["containerMinutes"] < (limit + 4) / 60, "hibernation is not counted"


def test_the_woken_agent_is_told_how_much_time_is_left(client: Client) -> None:
    nap = {"bash": 'hibernate --message "A nap." --for 1s'}
    work = ({"bash": "sleep 4"}, {"bash": "sleep 3"})  # the soft limit ends the first command
    steps = script(*work, nap, {"bash": "sleep 1"}, HEARD, finish())
    task = client.run(steps, overrides={"maxRuntimeSeconds": 602, "softFinishAfterSeconds": 2})
    output = outputs_of_tools(client, task["id"])[-1]
    first, again = re.findall(r"stopped, as failed, in (\d+) min(?: (\d+) s)?", output)
    assert first == ("10", "")
    assert again[0] == "9", "the remaining time, not that of the first reminder"


def test_a_failed_task_keeps_its_partial_outputs(client: Client) -> None:
    write = (
        "echo draft > report.md; mkdir -p a/b; echo deep > a/b/c.txt; echo no > .hidden; ln -s /etc/passwd p"
    )
    task = client.run(script({"bash": f"{write}; kill -9 $PPID"}))
    assert task["errorCode"] == "agent_crashed", task
    files = partial_files(client, task["id"])
    assert {file["filename"]: file["partial"] for file in files} == {"report.md": True, "c.txt": True}
    assert client.outputs(task["id"]) == {"report.md": b"draft\n", "c.txt": b"deep\n"}


def test_partial_outputs_are_bounded_in_count_and_size(quick_platform: Platform) -> None:
    client = quick_platform.account()
    make = "for n in 1 2 3 4 5 6; do head -c 1000 /dev/zero > f$n.bin; done; kill -9 $PPID"
    write_files = "for n in 1 2 3 4 5 6; do head -c 10 /dev/zero > g$n.bin; done; kill -9 $PPID"
    for command, expected in ((make, 2), (write_files, 3)):
        task = client.run(script({"bash": command}))
        assert task["errorCode"] == "agent_crashed", task
        files = partial_files(client, task["id"])
        assert len(files) == expected, files
        assert all(file["partial"] for file in files)


def test_a_cancelled_task_keeps_its_partial_outputs(client: Client) -> None:
    task_id = client.dispatch(script({"bash": "echo draft > report.md"}, {"bash": "sleep 300"}))
    client.until_event(task_id, lambda event: event["type"] == "tool.completed")
    assert client.cancel(task_id)["status"] == "cancelled"
    [file] = partial_files(client, task_id)
    assert (file["filename"], file["partial"]) == ("report.md", True)
    assert client.outputs(task_id) == {"report.md": b"draft\n"}


def test_a_lost_runner_costs_no_more_than_what_came_after_the_last_checkpoint(
    quick_platform: Platform,
) -> None:
    platform = quick_platform
    client = platform.account()
    slow = {"bash": "echo two >> log.txt; [ $(grep -c two log.txt) = 2 ] || sleep 300"}
    task_id = client.dispatch(script({"bash": "echo one >> log.txt"}, slow, HEARD, finish("log.txt")))
    count(client, task_id, "tool.started", at_least=2)
    until_there(platform.folder(task_id) / "log.txt", b"one\ntwo\n")
    before = len(of(client, task_id, "task.checkpointed"))
    count(client, task_id, "task.checkpointed", at_least=before + 2)
    platform.kill("runner")
    task = client.wait(task_id, seconds=60)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"log.txt": b"one\ntwo\ntwo\n"}, (
        "only the interrupted step was repeated"
    )
    saved = of(client, task_id, "task.checkpointed")
    assert all(data["sizeBytes"] > 0 and 0 <= data["pausedMs"] < 5000 for data in saved)
    assert [data["attempt"] for data in of(client, task_id, "task.started")] == [1, 2]
    assert any("The container you worked in was lost" in text for text in outputs_of_tools(client, task_id))
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    platform.until_container_released(task_id)


def test_a_runner_lost_before_the_first_response_does_not_lose_the_task(quick_platform: Platform) -> None:
    client = quick_platform.account()
    task_id = client.dispatch(script({"bash": "echo one >> log.txt"}, finish("log.txt")))
    deadline = time.monotonic() + 60
    while not (agents := quick_platform.agents()):
        assert time.monotonic() < deadline, "no agent"
        time.sleep(0.01)
    agents[0].suspend()  # it has not read its first prompt
    time.sleep(3)
    quick_platform.kill("runner")
    task = client.wait(task_id, seconds=60)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"log.txt": b"one\n"}, "the agent got its task"


def test_a_restart_resumes_a_drained_task_and_wakes_a_hibernating_one(platform: Platform) -> None:
    client = platform.account()
    steps = script(
        {"bash": "echo one >> log.txt"},
        {"bash": "echo two >> log.txt; [ -e again ] || { touch again; sleep 60; }"},
        finish("log.txt"),
    )
    task_id = client.dispatch(steps)
    count(client, task_id, "tool.started", at_least=2)
    until_there(platform.folder(task_id) / "again")
    asleep = hibernating(
        client, script(WORK, {"bash": 'hibernate --message "x" --for 5s'}, finish("log.txt"))
    )
    stopped_at = time.monotonic()
    assert platform.stop() == 0
    assert time.monotonic() - stopped_at < 30
    platform.assert_nothing_is_left()
    time.sleep(3)
    platform.start()
    task, woken = client.wait(task_id, seconds=60), client.wait(asleep, seconds=60)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"log.txt": b"one\ntwo\ntwo\n"}, (
        "only the interrupted step was repeated"
    )
    assert "task.requeued" in [event["type"] for event in client.events(task_id)]
    assert woken["status"] == "finished", woken
    assert client.outputs(asleep) == {"log.txt": b"one\n"}
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"] - woken["costUsd"], abs=1e-6)


def until_there(path: Path, content: bytes = b"") -> None:
    """Wait until a file exists with this content."""
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes() != content:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def partial_files(client: Client, task_id: str, seconds: float = 60) -> list[dict[str, Any]]:
    """Wait for the partial outputs, which are stored after the task's end."""
    deadline = time.monotonic() + seconds
    while not (files := client.files(task_id)):
        assert time.monotonic() < deadline, "no partial outputs"
        time.sleep(0.2)
    return files
