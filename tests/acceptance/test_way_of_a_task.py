"""A task for each provider: Pi turns an input file into output files in its sandbox."""

import hashlib
import os

import pytest

from .conftest import PROVIDER_KEY, PROVIDERS, Client, finish, script


@pytest.mark.parametrize("provider", PROVIDERS)
def test_input_in_output_out_byte_for_byte(client: Client, provider: str) -> None:
    content = os.urandom(300_000)
    file_id = client.upload("in put (1).bin", content)
    task = client.run(
        script(
            {"say": "I look at the file.", "bash": "sha256sum task_files/* > sums.txt"},
            {"bash": 'cp "task_files/in put (1).bin" out.bin'},
            finish("sums.txt", "out.bin"),
        ),
        inputFileIds=[file_id],
        metadata={"ticket": 7},
        overrides={"provider": provider, "model": PROVIDERS[provider]},
    )
    assert (task["status"], task["completion"], task["result"]) == (
        "finished",
        "complete",
        "Done as asked.",
    ), task
    assert task["error"] is None
    assert task["metadata"] == {"ticket": 7}
    assert task["execution"]["provider"] == provider
    assert task["tokenUsage"]["input_tokens"] > 0 < task["tokenUsage"]["output_tokens"]
    assert task["costUsd"] > 0 < task["containerMinutes"]
    outputs = client.outputs(task["id"])
    assert outputs["out.bin"] == content
    assert outputs["sums.txt"].split()[0].decode() == hashlib.sha256(content).hexdigest()
    kinds = [event["type"] for event in client.events(task["id"])]
    assert kinds[:3] == ["task.created", "task.claimed", "task.started"]
    assert kinds[-1] == "task.finished"
    assert kinds.count("tool.started") == 3
    assert "message.completed" in kinds


def test_the_agent_finds_the_documented_environment(client: Client) -> None:
    task = client.run(
        script(
            {"bash": "cat ~/TASK.md > task.txt; cat HARNESS.md > harness.txt; ls -a ~ > ls.txt"},
            {"bash": "ls task_files reference_files >> ls.txt; id -u > id.txt; pwd > pwd.txt"},
            {"bash": "cat /workspace/task/TASK.md > again.txt"},
            finish("task.txt", "harness.txt", "ls.txt", "pwd.txt", "id.txt", "again.txt"),
        ),
        inputFileIds=[client.upload("a.csv", b"1"), client.upload("a.csv", b"2")],
    )
    outputs = client.outputs(task["id"])
    assert outputs["task.txt"].decode() == task["instructions"] == outputs["again.txt"].decode()
    assert b"finish --complete-task" in outputs["harness.txt"]
    assert outputs["pwd.txt"].strip() == b"/workspace/task"
    assert outputs["id.txt"].strip() == b"1000"
    assert {"a.csv", "a (2).csv", "TASK.md", "HARNESS.md"} <= set(outputs["ls.txt"].decode().split("\n"))


def test_the_tasks_own_key_wins_and_both_spellings_of_a_model_work(client: Client) -> None:
    overrides = {"providerApiKey": "sk-of-this-task-only-1", "model": "claude-sonnet-4.6"}
    task = client.run(script(finish()), overrides=overrides)
    assert task["status"] == "finished", task
    assert "providerApiKey" not in task["overrides"]
    assert "sk-of-this-task-only-1" not in str(task) + str(client.events(task["id"]))


def test_without_a_provider_key_the_task_fails_with_a_reason_and_costs_nothing(
    shared_platform: object,
) -> None:
    client = shared_platform.account(provider_keys=False)  # type: ignore[attr-defined]
    task = client.run(script(finish()))
    assert (task["status"], task["errorCode"], task["costUsd"]) == ("failed", "provider_key_missing", 0)
    assert "PUT /api/v1/provider-keys/anthropic" in task["error"]
    assert client.ledger_sum() == 100


def test_the_account_pays_what_the_task_cost(client: Client) -> None:
    task = client.run(script({"bash": "sleep 1"}, finish()))
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    assert task["costUsd"] == pytest.approx(task["containerMinutes"] * 0.05, abs=1e-4)


def test_no_key_is_shown_anywhere_a_client_looks(client: Client) -> None:
    task = client.run(script(finish()))
    responses = [task, client.events(task["id"]), client.get("/provider-keys"), client.get("/account")]
    assert PROVIDER_KEY not in str(responses)
