"""What an agent version adds to each of its tasks: its base prompt in Pi's system prompt, and its files."""

import json
from typing import Any

import pytest

from agentcontainer.gateway.scripted import ScriptedModel

from .conftest import Client, Platform, finish, script

MAX_BASE_PROMPT_BYTES = 100_000


@pytest.fixture
def client(open_platform: Platform) -> Client:
    return open_platform.account()


def send(client: Client, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = client.http.request(method, path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


def system_prompt(model: ScriptedModel, mark: str) -> str:
    """The system prompt of the last request whose task contains `mark`."""
    body = next(
        request.body for request in reversed(model.requests) if mark in json.dumps(request.body["messages"])
    )
    system = body["system"]
    return system if isinstance(system, str) else "\n".join(part["text"] for part in system)


def test_the_base_prompt_and_the_reference_files_of_its_own_version_reach_the_agent(
    client: Client, seen_model: ScriptedModel
) -> None:
    rules, other = client.upload("rules.txt", b"Count twice."), client.upload("rules.txt", b"Count thrice.")
    new = {"basePrompt": "--no-session\nYou are a HERON; say «è».", "referenceFileIds": [other, rules]}
    agent = send(client, "POST", "/agents", name="Heron", **new)
    changed = {"basePrompt": "You are a STORK.", "referenceFileIds": []}
    send(client, "PATCH", f"/agents/{agent['id']}", **changed)

    look = {
        "bash": "cd ~/reference_files && ls > ~/ls.txt && cat * > ~/all.txt; cd ~; ls task_files >> ls.txt"
    }
    old = client.dispatch(
        script(look, finish("ls.txt", "all.txt"), task="Task OLD."),
        agent=agent["id"],
        versionId=agent["currentVersion"]["id"],
        inputFileIds=[client.upload("in.csv", b"1")],
    )
    current = client.dispatch(script(look, finish("ls.txt"), task="Task CURRENT."), agent=agent["id"])
    for task_id in (old, current):
        task = client.wait(task_id)
        assert task["status"] == "finished", task

    outputs = client.outputs(old)
    assert outputs["ls.txt"].decode().splitlines() == ["rules (2).txt", "rules.txt", "in.csv"]
    assert (
        outputs["all.txt"] == b"Count twice." + b"Count thrice."
    )  # in the order in which they were named: `rules (2).txt` is `rules`
    assert client.outputs(current)["ls.txt"] == b""
    assert "--no-session\nYou are a HERON; say «è»." in system_prompt(seen_model, "Task OLD.")
    assert "STORK" not in system_prompt(seen_model, "Task OLD.")
    assert "You are a STORK." in system_prompt(seen_model, "Task CURRENT.")
    assert "HERON" not in system_prompt(seen_model, "Task CURRENT.")


def test_the_longest_base_prompt_reaches_the_agent_whole(client: Client, seen_model: ScriptedModel) -> None:
    longest = "ä" * (MAX_BASE_PROMPT_BYTES // 2 - 1) + "<>"
    agent = send(client, "POST", "/agents", name="Long", basePrompt=longest)
    task = client.run(script(finish(), task="Task LONG."), agent=agent["id"])
    assert task["status"] == "finished", task
    assert longest in system_prompt(seen_model, "Task LONG.")


def test_an_agents_defaults_hold_and_overrides_change_one_task(client: Client) -> None:
    policy = {"mode": "named", "files": [{"name": "report"}]}
    agent = send(client, "POST", "/agents", name="Reporter", defaults={"outputPolicy": policy})
    step = {"bash": "echo x > a.txt"}
    named = client.run(script(step, finish("a.txt"), finish("--output", "report=a.txt")), agent=agent["id"])
    assert (named["status"], named["completion"]) == ("finished", "complete"), named
    [rejected] = [event for event in client.events(named["id"]) if event["type"] == "finish.rejected"]
    assert "report" in rejected["data"]["message"]
    overrides = {"outputPolicy": {"mode": "any"}}
    free = client.run(script(step, finish("a.txt")), agent=agent["id"], overrides=overrides)
    assert free["status"] == "finished", free
    assert list(client.outputs(free["id"])) == ["a.txt"]
