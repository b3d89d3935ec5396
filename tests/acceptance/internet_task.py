"""Tasks with internet access on a platform of their own, run in the world of tests/internet.py: `python -m
tests.acceptance.internet_task`. Prints JSON: the result of each, and which processes a killed runner left."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import psutil

from tests.acceptance.bed import Client, Platform, finish, script

FETCH = "node -e 'fetch(process.argv[1]).then(r => r.text(), e => e.cause.code || e.cause.name).then(console.log)' "
TRY = "for url in {}; do echo $url $(" + FETCH + "$url); done > out.txt 2>&1"


def main() -> dict[str, Any]:
    """Run the tasks of `run` at once, then kill the runner."""
    model = subprocess.Popen(
        [sys.executable, "-m", "agentcontainer.gateway.scripted", "--port", "0"], stdout=subprocess.PIPE
    )
    assert model.stdout is not None
    url = next(word for word in model.stdout.readline().decode().split() if word.startswith("http://"))
    platform = Platform(url, capacity="3")
    try:
        platform.start()
        client = platform.account()
        overrides: dict[str, dict[str, Any]] = {
            "open": {"internetAccess": True},
            "listed": {"internetAccess": True, "egress": {"allow": ["public.test:8080"]}},
            "none": {},
        }
        task_ids = {name: dispatch(client, chosen) for name, chosen in overrides.items()}
        outcomes: dict[str, Any] = {name: outcome(client, task_id) for name, task_id in task_ids.items()}
        for task_id in task_ids.values():
            platform.until_container_released(task_id)
        return outcomes | {"left": killed(platform, client)}
    finally:
        platform.close()
        model.kill()
        model.wait()


def dispatch(client: Client, overrides: dict[str, Any]) -> str:
    """A task that tries three hosts; returns its id."""
    urls = "http://public.test:8080 http://other.test:8080 http://private.test:8080"
    steps = script(
        {"bash": TRY.format(urls)}, {"bash": "cat HARNESS.md > harness.txt"}, finish("out.txt", "harness.txt")
    )
    return client.dispatch(steps, overrides=overrides)


def outcome(client: Client, task_id: str) -> dict[str, Any]:
    task = client.wait(task_id)
    events = [event["data"] for event in client.events(task["id"]) if event["type"] == "egress.refused"]
    outputs = {name: content.decode() for name, content in client.outputs(task["id"]).items()}
    return {"task": task, "refused": events, **outputs}


def killed(platform: Platform, client: Client) -> list[str]:
    """The processes of a task's network that remain shortly after its runner was killed."""
    for overrides in (
        {"internetAccess": True},
        {"internetAccess": True, "egress": {"allow": ["public.test"]}},
    ):
        task_id = client.dispatch(script({"bash": "sleep 60"}), overrides=overrides)
        client.until_event(task_id, lambda event: event["type"] == "tool.started")
    before = networks()
    assert len(before) == 3, before  # each has a process, and one slirp4netns
    platform.kill("runner")
    deadline = time.monotonic() + 10
    while (remaining := set(networks()) & set(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [before[pid] for pid in remaining]


def networks() -> dict[int, str]:
    """The processes of all sandboxes' networks that were started in this world."""
    owners: dict[int, str] = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            is_ours = _net(process.pid) == _net("self")
        except (psutil.Error, OSError):
            continue
        if is_ours and ("agentcontainer.sandbox.egress" in line or process.name() == "slirp4netns"):
            owners[process.pid] = line
    return owners


def _net(pid: int | str) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


if __name__ == "__main__":
    print(json.dumps(main()))
