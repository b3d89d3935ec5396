"""Three runners and two APIs share the work, and lose none of it when a host or a connection between hosts fails."""

import asyncio
import time
from collections import Counter

import httpx2

from agentcontainer.ids import new_id
from tests.acceptance.bed import Client, finish, script
from tests.acceptance.test_conversations import answered
from tests.event_stream import Frame, Stream

from .lab import ADDRESSES, APIS, RUNNERS, Lab, wait_until
from .observer import Sandbox, stamping

EU = {"runtimeRegion": "eu"}
DISPATCH = "/agents/agt_standard_data/tasks"
TASK = {"instructions": script(finish())}
NOT_SEEN = Sandbox("", 0, "", 0)
RECOVERY_SECONDS = 25  # 10 s until a runner counts as lost, and the start of the next attempt


def test_runners_and_apis_share_the_work(lab: Lab, client: Client) -> None:
    clients = [lab.client_of(client, name) for name in APIS]
    contents = [new_id("abc") for _ in range(12)]
    task_ids = [
        clients[number % 2].dispatch(
            script({"bash": f"echo {content} > out.txt; sleep 1"}, finish("out.txt")),
            overrides=EU if number % 4 == 0 else {},
        )
        for number, content in enumerate(contents)
    ]
    tasks = [client.wait(task_id) for task_id in task_ids]
    assert [task["status"] for task in tasks] == ["finished"] * 12
    for number, content in enumerate(contents):
        assert clients[1 - number % 2].outputs(task_ids[number]) == {"out.txt": f"{content}\n".encode()}
    hosts = [[sandbox.host for sandbox in lab.observer.of(task_id)] for task_id in task_ids]
    assert all(len(of_task) == 1 for of_task in hosts), "each task ran once"
    assert {of_task[0] for of_task in hosts[::4]} == {"r3"}, "the runner of the EU"
    assert {of_task[0] for of_task in hosts} == set(RUNNERS)
    assert charges(client) == Counter(task_ids)
    assert lab.ledger_faults() == []


def charges(client: Client) -> Counter[str]:
    """How often each task was charged."""
    entries = client.get("/account/ledger", limit=100)["data"]
    return Counter(entry["taskId"] for entry in entries if entry["kind"] == "charge")


def test_a_conversation_goes_on_at_another_host(lab: Lab, client: Client) -> None:
    task_id = client.begin(script({"bash": "echo one > notes.txt"}, {"say": "First."}))
    answered(client, task_id, 1)
    [first] = {sandbox.host for sandbox in lab.observer.of(task_id)}
    lab.service(first).stop()
    try:
        client.send(task_id, script({"bash": "echo two >> notes.txt; share notes.txt"}, {"say": "Second."}))
        answered(client, task_id, 2)
    finally:
        lab.start_runner(first)
        lab.wait_started(first)
    second = lab.observer.of(task_id)[-1]
    assert second.host != first
    messages = client.messages(task_id)
    assert [message["content"] for message in messages if message["role"] == "assistant"] == [
        "First.",
        "Second.",
    ]
    [file] = messages[-1]["files"]
    assert client.sdk.files.read(file["id"]) == b"one\ntwo\n"


def test_a_stream_goes_on_at_the_other_api_when_its_host_loses_power(lab: Lab, client: Client) -> None:
    steps = [{"bash": f"echo {number}; sleep 1"} for number in range(8)]
    task_id = client.dispatch(script(*steps, finish()))
    url = f"/api/v1/tasks/{task_id}/events?stream=true"
    poor = lab.account("0.10")

    async def follow() -> tuple[list[Frame], float]:
        frames: list[Frame] = []
        async with await Stream.open(lab.base_url, url, client.api_key) as stream:
            while last_number(frames) < 4:
                frames += await stream.some(1)
            serving = stream.headers["x-served-by"]
            dispatching = [asyncio.create_task(dispatch_without_end(poor, serving)) for _ in range(8)]
            await asyncio.sleep(1)
            lab.network.power_off(lab.hosts[serving])
            off_at = time.monotonic()
            frames += await asyncio.wait_for(stream.rest(), 30)
        silence = time.monotonic() - off_at
        for task in dispatching:
            task.cancel()
        async with await Stream.open(lab.base_url, url, client.api_key, last_number(frames)) as stream:
            frames += await asyncio.wait_for(stream.rest(), 60)
        return frames, silence

    try:
        frames, silence = asyncio.run(follow())
    finally:
        lab.power_on(next(name for name in APIS if not lab.hosts[name].is_on))
    log = client.events(task_id)
    assert [frame.data for frame in frames if frame.id is not None] == log
    assert client.task(task_id)["status"] == "finished"
    assert silence < 10, "HAProxy closes the streams of an API that it finds dead"
    answer = poor.http.post(DISPATCH, json=TASK, timeout=5)
    assert answer.status_code == 402, "a transaction of the lost host locks the account no longer"


async def dispatch_without_end(poor: Client, api: str) -> None:
    """Dispatch again and again through one API, until cancelled. The account is locked, and found too poor."""
    url = f"http://{ADDRESSES[api]}:8080/api/v1{DISPATCH}"
    async with httpx2.AsyncClient(
        headers=poor.http.headers, trust_env=False, verify=False, timeout=60
    ) as http:
        while True:
            assert (await http.post(url, json=TASK)).status_code == 402


def last_number(frames: list[Frame]) -> int:
    return max((frame.id or 0 for frame in frames), default=0)


def test_a_host_loses_power(lab: Lab, client: Client) -> None:
    tasks = stamping_tasks(lab, client, count=3, seconds=3)
    victim = tasks[min(tasks)]
    lab.network.power_off(lab.hosts[victim])
    off_at = time.time()
    try:
        assert_all_finish(lab, client, tasks, lost_by={victim})
    finally:
        lab.power_on(victim)
    for task_id in tasks:
        assert lab.observer.of(task_id)[-1].first_seen < off_at + RECOVERY_SECONDS


def test_packets_between_a_runner_and_the_database_are_dropped(lab: Lab, client: Client) -> None:
    """A runner tolerates 6 s. After 12 s others have its tasks, and its own agents stopped before these began."""
    tasks = stamping_tasks(lab, client, count=4, seconds=9)
    victim = tasks[min(tasks)]
    other = next(name for name in (*tasks.values(), *RUNNERS) if name != victim)
    database = lab.hosts["db"]
    with lab.network.cut((lab.hosts[victim], database)):
        with lab.network.cut((lab.hosts[other], database)):
            time.sleep(6)
        time.sleep(6)
    assert_all_finish(lab, client, tasks, lost_by={victim})


def stamping_tasks(lab: Lab, client: Client, *, count: int, seconds: float) -> dict[str, str]:
    """Tasks whose agents have begun to write the time, and the hosts that they run on."""
    instructions = script({"bash": f"{stamping(seconds)}; wc -l < stamps.txt > out.txt"}, finish("out.txt"))
    task_ids = [client.dispatch(instructions) for _ in range(count)]
    wait_until(
        lambda: all(agent.stamps for id_ in task_ids for agent in lab.observer.of(id_) or [NOT_SEEN]),
        "not all agents write",
    )
    return {task_id: lab.observer.of(task_id)[-1].host for task_id in task_ids}


def assert_all_finish(lab: Lab, client: Client, tasks: dict[str, str], *, lost_by: set[str]) -> None:
    """Each task ends with the output of its last attempt: the only one, unless its host lost it."""
    ended = [client.wait(task_id, seconds=RECOVERY_SECONDS + 40) for task_id in tasks]
    assert [task["status"] for task in ended] == ["finished"] * len(tasks)
    time.sleep(0.2)  # the observer reads once more
    assert lab.observer.overlaps(tasks) == []
    for task_id, host in tasks.items():
        attempts = lab.observer.of(task_id)
        assert len(attempts) == (2 if host in lost_by else 1)
        assert client.outputs(task_id) == {"out.txt": f"{len(attempts[-1].stamps)}\n".encode()}
    assert lab.ledger_faults() == []
