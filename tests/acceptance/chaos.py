"""A seeded chaos run: tasks of every kind on two runners, while processes are killed or paused and tasks cancelled.

    make chaos SEED=7 MINUTES=5

Afterwards no task is stuck, no file is lost, no sandbox is left, the ledger adds up to the micro-dollar, and no event
log has a gap.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agentcontainer_client import AgentContainerError, Conflict, ConnectionFailed, ServerFault
from tests.acceptance.bed import COMMAND, TERMINAL, Platform, finish, script
from tests.acceptance.client import STANDARD

GRACE_SECONDS = 120  # after the last event of any task
LOST_AFTER = 5.0


@dataclass
class Chaos:
    """One run on a started platform; `run` raises AssertionError if a task or the ledger is wrong afterwards."""

    platform: Platform
    seed: int
    tasks: int
    seconds: float
    done: Counter[str] = field(default_factory=Counter[str])

    def run(self) -> None:
        self.random = random.Random(self.seed)
        self.client = self.platform.account("10000")
        self.started: dict[str, str] = {}  # task id → kind
        self.stopped: dict[int, float] = {}  # pid → when to send SIGCONT
        self.extra = self._runner()
        try:
            self._disturb_for_a_while()
            self._wait_for_all_ends()
        finally:
            self.extra.kill()
            self.extra.wait()
        self._check()

    def _runner(self) -> subprocess.Popen[bytes]:
        with self.platform.log_path.open("ab") as log:
            return subprocess.Popen([*COMMAND, "runner", "--capacity", "3"], env=self.platform.environment,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip

    def _disturb_for_a_while(self) -> None:
        """Dispatch all tasks during the first half of the run, with disturbances throughout."""
        began_at = time.monotonic()
        every = self.seconds / 2 / self.tasks
        next_disturbance = began_at + 1
        while (now := time.monotonic()) < began_at + self.seconds:
            if len(self.started) < self.tasks and now >= began_at + every * len(self.started):
                with contextlib.suppress(ConnectionFailed, Conflict, ServerFault):
                    self._dispatch()
            if now >= next_disturbance:
                next_disturbance = now + self.random.uniform(0.3, 2.5)
                self._disturb()
            self._resume_stopped(now)
            self._end_conversations()
            time.sleep(0.05)

    def _dispatch(self) -> None:
        number = len(self.started)
        chance = random.Random(f"{self.seed}-{number}")  # a retry makes the same choices
        kind = chance.choice(["quick", "long", "nap", "talk"])
        write = {"bash": f"echo {number} > out.txt"}
        pause = {"bash": f"sleep {chance.uniform(1, 6):.1f}"}
        nap = {"bash": f'hibernate --message "Nap {number}." --for {chance.randint(1, 8)}s'}
        steps = {
            "quick": [write, finish("out.txt")],
            "long": [write, pause, finish("out.txt")],
            "nap": [write, nap, pause, nap, finish("out.txt")],
            "talk": [{"bash": f"echo {number} > out.txt; share out.txt"}, {"say": "Shared."}],
        }[kind]
        once = self.client.once
        create = once.conversations.create if kind == "talk" else once.tasks.create
        text, key = script(*steps, task=f"Task {number}."), f"chaos-{self.seed}-{number}"
        task_id = create(text, agent=STANDARD, idempotency_key=key).id
        self.started[task_id] = kind
        self.client.task_ids.add(task_id)

    def _disturb(self) -> None:
        disturbance = self.random.choices(
            ["kill runner", "kill extra", "pause", "kill api", "kill postgres", "cancel", "wake", "send"],
            [3, 3, 2, 2, 1, 2, 3, 4],
        )[0]
        self.done[disturbance] += 1
        match disturbance:
            case "kill extra":
                self.extra.kill()
                self.extra.wait()
                self.stopped.pop(self.extra.pid, None)
                self.extra = self._runner()
            case "pause":
                self._pause()
            case "cancel" | "wake" | "send":
                self._call_api(disturbance)
            case _:
                with contextlib.suppress(AssertionError, ProcessLookupError):
                    self.platform.kill(disturbance.removeprefix("kill "))

    def _pause(self) -> None:
        with contextlib.suppress(AssertionError, ProcessLookupError):
            pid = self.random.choice([self.extra.pid, self.platform.pid("runner")])
            os.kill(pid, signal.SIGSTOP)
            self.stopped[pid] = time.monotonic() + self.random.uniform(0.5, 3 * LOST_AFTER)

    def _resume_stopped(self, now: float) -> None:
        for pid, until in list(self.stopped.items()):
            if now >= until:
                del self.stopped[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _call_api(self, action: str) -> None:
        if not self.started:
            return
        task_id = self.random.choice(list(self.started))
        call = {
            "cancel": lambda: self.client.cancel(task_id),
            "wake": lambda: self.client.wake(task_id, "Go on."),
            "send": lambda: self.client.send(task_id, "And now?"),
        }[action]
        with contextlib.suppress(ConnectionFailed, Conflict, ServerFault):
            call()

    def _end_conversations(self) -> None:
        """Now and then end a conversation that awaits input."""
        for task_id, kind in self.started.items():
            if kind == "talk" and self.random.random() < 0.01:
                with contextlib.suppress(AgentContainerError):
                    if self._task(task_id)["status"] == "awaiting_input":
                        self.client.end(task_id)

    def _wait_for_all_ends(self) -> None:
        """Without further disturbances, wait until every task is terminal."""
        self._resume_stopped(float("inf"))
        self.platform.wait_ready()
        last_steps, deadline = list[str](), 0.0
        while waiting := [task for task in map(self._task, self.started) if task["status"] not in TERMINAL]:
            if (steps := [self._last_step(task["id"]) for task in waiting]) != last_steps:
                last_steps, deadline = steps, time.monotonic() + GRACE_SECONDS
            assert time.monotonic() < deadline, f"stuck: {[(t['id'], t['status']) for t in waiting]}"
            for task in waiting:
                if task["status"] == "awaiting_input":
                    self.client.end(task["id"])
            time.sleep(0.2)

    def _last_step(self, task_id: str) -> str:
        """The id of the task's last event other than a checkpoint, which is no progress."""
        log = self.client.get(f"/tasks/{task_id}/events", order="desc", limit=50)["data"]
        return next((event["id"] for event in log if event["type"] != "task.checkpointed"), "")

    def _task(self, task_id: str) -> dict[str, Any]:
        return self.client.task(task_id)

    def _check(self) -> None:
        assert len(self.started) == self.tasks, "all tasks were dispatched"
        ends = Counter[str]()
        for number, (task_id, kind) in enumerate(self.started.items()):
            task = self._task(task_id)
            events = self.client.events(task_id)  # checks that there is no gap
            ends[task["errorCode"] or task["status"]] += 1
            assert (
                task["status"] in ("finished", "cancelled") or task["errorCode"] == "infrastructure_error"
            ), task
            if task["status"] == "finished" and kind != "talk":
                description = (
                    f"task {number}, {kind}: {[(e['sequence'], e['type'], e['data']) for e in events]}"
                )
                assert self.client.outputs(task_id).get("out.txt") == f"{number}\n".encode(), description
            if task["status"] == "finished" and kind == "talk":
                self._check_reply(task_id, f"{number}\n".encode())
            assert events[-1]["type"] == f"task.{task['status']}", events[-3:]
            assert [
                e["type"] in ("task.finished", "task.failed", "task.cancelled", "task.expired")
                for e in events
            ].count(True) == 1
        cost = sum(self._task(task_id)["costUsd"] for task_id in self.started)
        assert abs(self.client.ledger_sum() - (10000 - cost)) < 1e-6
        deadline = time.monotonic() + 60
        while self.platform.sandboxes() or self.platform.attempts():
            assert time.monotonic() < deadline, (self.platform.sandboxes(), self.platform.attempts())
            time.sleep(0.2)
        print(f"seed {self.seed}: {len(self.started)} tasks, {dict(ends)}; {dict(self.done)}")

    def _check_reply(self, task_id: str, shared: bytes) -> None:
        """The file shared with the first reply can be downloaded, and no turn was answered twice."""
        messages = self.client.messages(task_id)
        replies = [message for message in messages if message["role"] == "assistant"]
        assert [file["filename"] for file in replies[0]["files"]] == ["out.txt"], replies
        content = self.client.sdk.files.read(replies[0]["files"][0]["id"])
        assert content == shared, (task_id, content)
        turns = [reply["turnNumber"] for reply in replies]
        assert turns == sorted(set(turns)), turns


def main() -> None:
    """Start a scripted model and a platform, and run the chaos on it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tasks", type=int, default=100)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "agentcontainer.gateway.scripted", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as model:
        assert model.stdout is not None
        url = next(word for word in model.stdout.readline().decode().split() if word.startswith("http"))
        platform = Platform(url, capacity="3", runner_lost_after_seconds=str(LOST_AFTER), warm_seconds="3",
                            checkpoint_seconds="2", rate_limit_per_minute="0")  # fmt: skip
        try:
            platform.start()
            Chaos(platform, arguments.seed, arguments.tasks, arguments.minutes * 60).run()
        finally:
            platform.close()
            model.terminate()
    assert not platform.sandboxes(), "a sandbox still runs"


if __name__ == "__main__":
    main()
