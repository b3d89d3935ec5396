"""What the Python client costs: import time, and `client.tasks.run` beside hand-written requests.

.venv/bin/python -m benchmarks.client
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import httpx2

from agentcontainer_client import AgentContainer
from tests.acceptance.bed import Platform, finish, script

AGENT = "agt_standard_data"
TASKS = 15
IMPORTS = {
    "python alone": "pass",
    "httpx2": "import httpx2",
    "agentcontainer_client": "from agentcontainer_client import AgentContainer",
    "agentcontainer_client, async": "from agentcontainer_client import AsyncAgentContainer",
}


def import_seconds(statement: str, interpreter: str = sys.executable) -> float:
    """The best of ten runs: what other programs of this machine do must not count."""
    best = 9.0
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([interpreter, "-c", statement], check=True)
        best = min(best, time.perf_counter() - began)
    return best


def by_hand(http: httpx2.Client, instructions: str) -> str | None:
    """A task as a program without the client runs it: dispatch, then wait for the last event."""
    task = http.post(f"/agents/{AGENT}/tasks", json={"instructions": instructions}).raise_for_status().json()
    after = 0
    while True:
        query = {"after": after, "wait": 25, "limit": 1000, "fields": "summary"}
        events = http.get(f"/tasks/{task['id']}/events", params=query).raise_for_status().json()["data"]
        for event in events:
            after = event["sequence"]
            if event["type"] in {"task.finished", "task.failed", "task.cancelled", "task.expired"}:
                return http.get(f"/tasks/{task['id']}").raise_for_status().json()["result"]


def cpu_and_wall(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of one task, in this process."""
    cpu, wall = [], []
    for _ in range(TASKS):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return statistics.median(cpu), statistics.median(wall)


def main() -> None:
    alone = import_seconds(IMPORTS["python alone"])
    for name, statement in IMPORTS.items():
        print(f"{name:32} {1000 * (import_seconds(statement) - alone):6.0f} ms")
    instructions = script(finish())
    with Platform("http://127.0.0.1:9", capacity="2", offline_model="all") as platform:
        account = platform.account(provider_keys=False)
        headers = {"Authorization": f"Bearer {account.api_key}"}
        http = httpx2.Client(
            base_url=f"{platform.base_url}/api/v1", headers=headers, timeout=60, trust_env=False
        )
        with http, AgentContainer(platform.base_url, account.api_key) as client:
            by_hand(http, instructions)
            client.tasks.run(instructions, agent=AGENT)
            for name, work in {
                "by hand": lambda: by_hand(http, instructions),
                "client.tasks.run": lambda: client.tasks.run(instructions, agent=AGENT),
                "client.tasks.run, on_event": lambda: client.tasks.run(
                    instructions, agent=AGENT, on_event=lambda _: None
                ),
            }.items():
                cpu, wall = cpu_and_wall(work)
                print(f"{name:32} {1000 * cpu:6.1f} ms of CPU, {wall:6.2f} s in all, for each task")


if __name__ == "__main__":
    main()
