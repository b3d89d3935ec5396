"""Tasks whose agents write the time while a fault lasts, and the judgement of what became of them."""

import threading
import time
from dataclasses import dataclass, field

from agentcontainer_client import AgentContainerError, ApiError
from tests.acceptance.bed import Client, finish, script

from .lab import Lab, wait_until
from .observer import STAMPS, stamping

RECOVERY_SECONDS = 25  # 10 s until a runner counts as lost, and the start of the next attempt
EU = {"runtimeRegion": "eu"}


@dataclass
class Verdict:
    """What became of a workload."""

    lost: list[str]  # sentences, as those below
    duplicated: list[str]
    ledger: list[str]
    run_again: int  # tasks with more than one attempt
    restarted_after: float | None  # seconds from a moment until the last of these wrote again


class Workload:
    """Some tasks, of which every third one is for a runner in the EU."""

    def __init__(self, lab: Lab, client: Client, *, count: int, seconds: float) -> None:
        self._lab = lab
        self._client = client
        steps = script({"bash": f"{stamping(seconds)}; wc -l < {STAMPS} > out.txt"}, finish("out.txt"))
        self.task_ids = [
            client.dispatch(steps, overrides=EU if number % 3 == 2 else {}) for number in range(count)
        ]
        wait_until(
            lambda: all(self._is_writing(task_id) for task_id in self.task_ids), "not all agents write"
        )
        self.hosts = {task_id: lab.observer.of(task_id)[-1].host for task_id in self.task_ids}

    def _is_writing(self, task_id: str) -> bool:
        return any(sandbox.stamps for sandbox in self._lab.observer.of(task_id))

    def of_host(self, name: str) -> list[str]:
        """The tasks that ran on this host at the beginning."""
        return [task_id for task_id, host in self.hosts.items() if host == name]

    def judge(self, since: float, seconds: float = RECOVERY_SECONDS + 40) -> Verdict:
        """Wait for all tasks to end. `since`: when the fault began."""
        deadline = time.monotonic() + seconds
        lost = [text for id_ in self.task_ids if (text := self._fault_of(id_, deadline - time.monotonic()))]
        time.sleep(0.2)  # the observer reads once more
        last = [self._lab.observer.of(task_id) for task_id in self.task_ids]
        again = [sandboxes[-1] for sandboxes in last if len(sandboxes) > 1]
        restarts = [sandbox.own_stamps[0] - since for sandbox in again if sandbox.own_stamps]
        duplicated = self._lab.observer.overlaps(self.task_ids)
        return Verdict(lost, duplicated, self._lab.ledger_faults(), len(again), max(restarts, default=None))

    def _fault_of(self, task_id: str, seconds: float) -> str | None:
        """Why the task is lost; None: it ended with the output of its last attempt."""
        try:
            task = self._client.wait(task_id, seconds=max(seconds, 1))
        except (AssertionError, AgentContainerError) as error:
            return f"{task_id} has not ended: {error}"
        if task["status"] != "finished":
            return f"{task_id} is {task['status']}: {task['error']}"
        stamps = self._lab.observer.of(task_id)[-1].stamps
        outputs = self._client.outputs(task_id)
        if outputs != {"out.txt": f"{len(stamps)}\n".encode()}:
            return f"{task_id} has the outputs {outputs}, but its last agent wrote {len(stamps)} lines"
        return None


@dataclass
class Probe:
    """A client that asks for its account four times a second, through HAProxy, until `close`."""

    client: Client
    errors: dict[str, int] = field(default_factory=dict[str, int])
    answers: int = 0
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._is_ending = threading.Event()
        own = Client(self.client.base_url, self.client.api_key, self.client.account_id)
        self._client = own.once.with_options(timeout=60)
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_ending.set()
        self._thread.join()
        self._client.close()

    def __str__(self) -> str:
        errors = ", ".join(f"{count} × {name}" for name, count in sorted(self.errors.items()))
        return f"{errors or 'no error'} in {self.answers} requests, slowest {self.slowest:.1f} s"

    def _ask(self) -> None:
        while not self._is_ending.wait(0.25):
            began_at = time.monotonic()
            try:
                self._client.account.get()
                status = "200"
            except ApiError as error:
                status = str(error.status)
            except AgentContainerError as error:
                status = type(error.__cause__ or error).__name__
            self.answers += 1
            self.slowest = max(self.slowest, time.monotonic() - began_at)
            if status != "200":
                self.errors[status] = self.errors.get(status, 0) + 1
