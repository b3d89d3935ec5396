"""A task at its resource limits is stopped or refused, and does not disturb other tasks."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.git_server import GitServer
from tests.ordinary_user import UID, as_ordinary_user

from .conftest import COMMAND, Client, Platform, finish, script

pytestmark = pytest.mark.xdist_group("limits")  # all tests share one platform

DISK_BYTES = 64 * 1024**2
PIDS = 96
SETTINGS = {
    "capacity": "8",
    "sandbox_disk_bytes": str(DISK_BYTES),
    "sandbox_inodes": "5000",
    "sandbox_pids": str(PIDS),
    "sandbox_memory_bytes": str(256 * 1024**2),
    "sandbox_cpus": "0.25",
    "max_task_events": "200",
    "allow_private_repositories": "true",
    "checkpoint_seconds": "2",
    "disk_full_grace_seconds": "30",
    "steering_wait_seconds": "2",
    "container_usd_per_minute": "0",
}
FILL = "dd if=/dev/zero of=big bs=1M; for i in $(seq 300); do echo $i > f$i || break; done"
TO_PROCESSES = """
import os, time
children = 0
try:
    while children < 1000:
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(1000)
        children += 1
except OSError as error: print(children, error.strerror)
"""
FRAMES = (
    r"""yes '{"type":"tool_execution_start","toolCallId":"x","toolName":"y","args":{}}' > /proc/$PPID/fd/1"""
)


@pytest.fixture(scope="module")
def limited(scripted_url: str) -> Iterator[Platform]:
    """A platform with low sandbox limits."""
    with Platform(scripted_url, **SETTINGS) as platform:
        yield platform


@pytest.fixture
def client(limited: Platform) -> Client:
    return limited.account()


@pytest.fixture(scope="module", autouse=True)
def hopeless(limited: Platform) -> tuple[Client, str]:
    """A task that frees nothing on its full disk. It is given time for that, in which the other tests run."""
    client = limited.account()
    return client, client.dispatch(script({"bash": f"{FILL}; sleep 1000"}))


def outputs_of_tools(client: Client, task: dict[str, Any]) -> list[str]:
    events = client.events(task["id"])
    return [event["data"]["output"] for event in events if event["type"] == "tool.completed"]


def test_a_message_ends_a_command_that_keeps_it_waiting(client: Client) -> None:
    task_id = client.dispatch(script({"bash": "echo $$ > pid; sleep 3000"}, finish()))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    client.steer(task_id, "Stop that.")
    assert client.wait(task_id)["status"] == "finished"
    ended = next(event["data"] for event in client.events(task_id) if event["type"] == "tool.completed")
    assert "because a message for you was waiting" in ended["output"]


def test_an_agent_can_free_a_full_disk(client: Client) -> None:
    report = {"bash": "rm big f*; echo fine > report.txt"}
    task = client.run(script({"bash": FILL}, report, finish("report.txt")))
    assert task["status"] == "finished", task
    full, freed = outputs_of_tools(client, task)[:2]
    assert "No space left on device" in full
    assert "[/workspace is full: " in full
    assert "/workspace is full" not in freed
    assert client.outputs(task["id"]) == {"report.txt": b"fine\n"}


def test_an_agent_stopped_by_a_full_disk_fails_as_disk_full_with_its_state_saved(client: Client) -> None:
    task = client.run(script({"bash": FILL}, {"bash": "sleep 4"}))
    assert (task["status"], task["errorCode"]) == ("failed", "disk_full"), task
    assert (
        task["error"]
        == f"The agent's disk is full: its workspace may hold {DISK_BYTES} bytes and 5000 files."
    )
    assert "task.checkpointed" in [event["type"] for event in client.events(task["id"])]


def test_an_agent_works_on_while_its_disk_is_full(client: Client) -> None:
    steps = [{"bash": "head -c 40000 /dev/urandom | base64"} for _ in range(3)]
    task = client.run(script({"bash": FILL}, *steps, {"bash": "rm big"}, finish()))
    assert task["status"] == "finished", task


def test_a_task_with_a_full_workspace_hibernates_and_wakes(client: Client) -> None:
    sleep = {"bash": 'hibernate --message "Waiting." --for 1h'}
    task_id = client.dispatch(script({"bash": FILL}, sleep, {"bash": "ls -l big"}, finish()))
    client.wait(task_id, "hibernating")
    client.wake(task_id)
    task = client.wait(task_id)
    assert task["status"] == "finished", (task, client.events(task_id)[-4:])


def test_inputs_that_do_not_fit_fail_the_task_at_once(client: Client) -> None:
    file_id = client.upload("large.bin", bytes(DISK_BYTES + 1))
    task = client.run(script(finish()), inputFileIds=[file_id])
    assert (task["status"], task["errorCode"], task["costUsd"]) == ("failed", "disk_full", 0), task
    assert "do not fit" in task["error"]
    assert [event["type"] for event in client.events(task["id"])] == [
        "task.created",
        "task.claimed",
        "task.failed",
    ]


def test_a_repository_for_which_no_room_is_left_fails_the_task_at_once(
    client: Client, tmp_path: Path
) -> None:
    file_id = client.upload("large.bin", bytes(DISK_BYTES * 3 // 4))
    with GitServer(tmp_path).running() as server:
        server.make("app", {"random": os.urandom(DISK_BYTES // 2)})
        task = client.run(
            script(finish()),
            inputFileIds=[file_id],
            inputRepositories=[{"url": server.url("git", "app")}],
        )
    assert (task["status"], task["errorCode"]) == ("failed", "disk_full"), task
    assert task["error"] == "The repository app of 127.0.0.1 is larger than the workspace may be."


def test_an_agent_at_its_process_limit_fails_as_too_many_processes(client: Client) -> None:
    task = client.run(script({"bash": f"python3 -c '{TO_PROCESSES}'"}))
    assert (task["status"], task["errorCode"]) == ("failed", "too_many_processes"), task
    assert f"{PIDS} processes" in task["error"]
    assert "Resource temporarily unavailable" in outputs_of_tools(client, task)[0]


def test_a_later_crash_for_another_reason_is_agent_crashed(client: Client) -> None:
    bomb = f"python3 -c '{TO_PROCESSES}'; pkill -f time.sleep"
    task = client.run(script({"bash": bomb}, {"bash": "kill -9 $PPID"}))
    assert (task["status"], task["errorCode"]) == ("failed", "agent_crashed"), task


def test_a_flood_of_events_ends_its_task_and_does_not_grow_the_runner(
    client: Client, limited: Platform
) -> None:
    runner = psutil.Process(limited.pid("runner"))
    before = runner.memory_info().rss
    task_id = client.dispatch(script({"bash": FRAMES}))
    highest = before
    while (task := client.task(task_id))["status"] in ("pending", "running"):
        highest = max(highest, runner.memory_info().rss)
        time.sleep(0.05)
    assert (task["status"], task["errorCode"]) == ("failed", "event_log_full"), task
    assert "200 events" in task["error"]
    assert 200 < len(client.events(task_id)) < 210, "few events follow the one that reached the limit"
    assert highest - before < 300 * 1024**2


def test_an_agent_that_frees_nothing_on_a_full_disk_fails_as_disk_full(
    hopeless: tuple[Client, str],
) -> None:
    client, task_id = hopeless
    task = client.wait(task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "disk_full"), task
    assert "nothing was freed in 30 seconds" in task["error"]


@pytest.mark.long
def test_tasks_finish_beside_others_at_their_resource_limits(client: Client) -> None:
    with _noise(client):
        _three(client, seconds=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_tasks_beside_others_at_their_limits_take_less_than_twice_as_long(client: Client) -> None:
    """The steps are long enough to measure on a busy machine."""
    alone = _three(client, seconds=20)
    with _noise(client):
        beside = _three(client, seconds=20)
    alone += _three(client, seconds=20)
    assert max(beside) < 2 * max(alone), (alone, beside)


NOISE = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb; while :; do bomb; sleep 0.1; done",
    "memory hog": "while :; do python3 -c 'd = []\nwhile True: d.append(bytearray(2**22))'; done",
    "disk filler": "while :; do dd if=/dev/zero of=x bs=1M; rm x; for i in $(seq 4000); do >f$i; done; rm -f f*; done",
    "spinner": "for i in 1 2 3 4; do while :; do :; done & done; wait",
    "socket flooder": """python3 -c '
import socket
while True:
    held = []
    try:
        while True:
            for name in ("gateway", "control"):
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(0.1)
                one.connect(f"/run/agentcontainer/{name}.sock")
                one.send(b"POST /finish HTTP/1.1\\r\\nContent-Length: 100000\\r\\n\\r\\n" + bytes(1000))
                held.append(one)
    except OSError: pass
'""",
}
# Like an agent: it mostly waits for its model, then computes and writes to its disk.
WORK = """sleep SECONDS; python3 -c '
import time
while time.process_time() < 0.25: pass
'; for i in $(seq 20); do echo $i > f$i; sync f$i; done; cat f* | wc -l > sum; rm f*"""


@contextlib.contextmanager
def _noise(client: Client) -> Iterator[None]:
    """Five tasks at their limits, running during the whole block."""
    noise = {name: client.dispatch(script({"bash": command})) for name, command in NOISE.items()}
    for task_id in noise.values():
        client.until_event(task_id, lambda event: event["type"] == "tool.started", seconds=60)
    yield
    states = {name: client.task(task_id)["status"] for name, task_id in noise.items()}
    for task_id in noise.values():
        client.cancel(task_id)
    assert states["disk filler"] == states["spinner"] == states["socket flooder"] == "running", states


def _three(client: Client, seconds: float) -> list[float]:
    """Seconds from dispatch to end of three concurrent ordinary tasks, each of which waits for this long."""
    work = {"bash": WORK.replace("SECONDS", str(seconds))}
    task_ids = [client.dispatch(script(work, finish("sum"))) for _ in range(3)]
    ended = [client.wait(task_id, seconds=200) for task_id in task_ids]
    assert {task["status"] for task in ended} == {"finished"}, ended
    assert [client.outputs(task_id) for task_id in task_ids] == [{"sum": b"20\n"}] * 3
    return [(_moment(task["completedAt"]) - _moment(task["createdAt"])).total_seconds() for task in ended]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class OrdinaryPlatform(Platform):
    """The same as an ordinary user."""

    def start(self) -> None:
        argv = [*COMMAND, "up", "--port", str(self.port)]
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", str(self.data_dir)], check=True)
            argv = as_ordinary_user(argv)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self.wait_ready()


def test_without_root_disk_usage_is_polled_and_limited(scripted_url: str) -> None:
    platform = OrdinaryPlatform(scripted_url, **SETTINGS)
    try:
        platform.start()
        client = platform.account()
        task_id = client.dispatch(script({"bash": "dd if=/dev/zero of=x bs=1M count=80; sleep 60"}))
        small_task = client.run(script({"bash": "dd if=/dev/zero of=x bs=1M count=20; sleep 2"}, finish()))
        assert small_task["status"] == "finished", small_task
        task = client.wait(task_id)
        assert (task["status"], task["errorCode"]) == ("failed", "disk_full"), task
        assert "WEAK DISK LIMITS" in platform.log()
        deadline = time.monotonic() + 30
        while platform.attempts():  # the clean-up follows the end of the task
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        platform.close()
        shutil.rmtree(platform.data_dir, ignore_errors=True)
