"""kill -9 of each process during a task: the task ends correctly, the ledger is balanced, nothing is left."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from .conftest import Client, Platform, finish, script

SLOW = script({"bash": "sleep 4; echo done > out.txt"}, finish("out.txt"))


def working(client: Client) -> str:
    """Dispatch a task and wait until it is working; returns its id."""
    task_id = client.dispatch(SLOW)
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    return task_id


def assert_survives_the_kill_of(platform: Platform, part: str, attempts: int) -> None:
    client = platform.account()
    task_id = working(client)
    killed_at = time.monotonic()
    platform.kill_and_wait_for_next(part)
    task = client.wait(task_id, seconds=60)
    assert time.monotonic() - killed_at < 30
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"out.txt": b"done\n"}
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    kinds = [event["type"] for event in client.events(task_id)]
    assert kinds.count("task.started") == attempts
    assert kinds[-1] == "task.finished"
    assert client.run(script(finish()))["status"] == "finished"


@pytest.mark.long
def test_a_task_survives_the_kill_of_its_runner(patient_platform: Platform) -> None:
    assert_survives_the_kill_of(patient_platform, "runner", attempts=2)
    assert "agentcontainer: runner ended with signal 9; restarting it in 0.2 s" in patient_platform.log()


def test_tasks_survive_the_kill_of_the_api_and_of_the_database(patient_platform: Platform) -> None:
    platform = patient_platform
    client = platform.account()
    long = client.dispatch(script({"bash": "sleep 300"}))
    client.until_event(long, lambda event: event["type"] == "tool.started")
    for part, sentence in (
        ("api", "agentcontainer: api ended with signal 9; restarting it in 0.2 s"),
        ("postgres", "agentcontainer: PostgreSQL ended; restarting it"),
    ):
        assert_survives_the_kill_of(platform, part, attempts=1)
        assert sentence in platform.log()
        assert client.task(long)["status"] == "running", (
            "the runner takes new tasks and keeps the running one"
        )
    client.cancel(long)


def test_pi_killed_from_outside_fails_the_task_as_crashed(client: Client, shared_platform: Platform) -> None:
    task_id = working(client)
    [sandbox] = [group for mark, group in shared_platform.sandboxes().items() if task_id in mark]
    [pi] = {process for process in sandbox if process.name() == "pi"}
    pi.kill()
    task = client.wait(task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "agent_crashed"), task


@pytest.mark.long  # tests/integration/domain tests the third loss
def test_a_runner_lost_three_times_fails_the_task_uncharged(platform: Platform) -> None:
    client = platform.account()
    task_id = client.dispatch(script({"bash": "sleep 100"}))
    for attempt in (1, 2, 3):
        client.until_event(
            task_id,
            lambda e, n=attempt: e["type"] == "task.started" and e["data"]["attempt"] == n,
            seconds=60,
        )
        platform.kill("runner")
    task = client.wait(task_id, seconds=60)
    assert (task["status"], task["errorCode"], task["costUsd"]) == ("failed", "infrastructure_error", 0), task
    assert client.ledger_sum() == 100


def test_kill_9_of_everything_leaves_nothing_and_a_restart_goes_on(patient_platform: Platform) -> None:
    platform = patient_platform
    client = platform.account()
    task_id = working(client)
    assert platform.process is not None
    tree = [platform.process, *psutil.Process(platform.process.pid).children(recursive=True)]
    os.kill(platform.process.pid, signal.SIGKILL)
    platform.process.wait()
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(process.pid) for process in tree[1:]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert platform.sandboxes() == {}
    assert str(platform.data_dir) not in Path("/proc/mounts").read_text()
    platform.start()
    assert client.wait(task_id, seconds=60)["status"] == "finished"
    assert platform.stop() == 0
    platform.assert_nothing_is_left()
