"""What tests use of the API: the Python client, with its results as the JSON that the API sent."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx2

from agentcontainer_client import AgentContainer, ApiError, Task
from tests.event_schema import check_event

STANDARD = "agt_standard_data"
TERMINAL = {"finished", "failed", "cancelled", "expired"}


class Client:
    """One account's view of the API. `sdk` is the Python client."""

    def __init__(self, base_url: str, api_key: str, account_id: str) -> None:
        self.account_id = account_id
        self.api_key = api_key
        self.base_url = base_url
        self.task_ids: set[str] = set()
        # A client with a transport asks no proxy of the environment.
        self.sdk = AgentContainer(base_url, api_key, timeout=30, transport=httpx2.HTTPTransport(verify=False))
        # A retry would hide a fault of the API.
        self.once = self.sdk.with_options(max_retries=0)

    @cached_property
    def http(self) -> httpx2.Client:
        """Plain HTTP, for tests of wrong input, headers and status codes."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx2.Client(  # verify: to load the certificates takes 17 ms of CPU time
            base_url=f"{self.base_url}/api/v1", headers=headers, timeout=30, trust_env=False, verify=False
        )

    @property
    def port(self) -> int | None:
        """The API's port."""
        return httpx2.URL(self.base_url).port

    def close(self) -> None:
        """Close all connections."""
        self.sdk.close()
        if "http" in vars(self):
            self.http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self.once.raw.get(path, **query).json()

    def post(self, path: str, *, key: str | None = None, **body: Any) -> Any:
        """The response to a POST of these fields of the API. `key`: an Idempotency-Key."""
        return self.once.raw.request("POST", path, body=body, idempotency_key=key).json()

    def upload(self, filename: str, content: bytes, content_type: str = "application/octet-stream") -> str:
        return self.sdk.files.upload((filename, content), content_type=content_type).id

    def dispatch(self, instructions: str, *, agent: str = STANDARD, **fields: Any) -> str:
        """The id of a new task. `fields` are those of the API, also such as the client would not send."""
        body = {"instructions": instructions, **fields}
        return self._noted(self.sdk.raw.post(f"/agents/{agent}/tasks", body).json())

    def begin(self, message: str, *, agent: str = STANDARD, **fields: Any) -> str:
        """The id of a new conversation."""
        return self._noted(self.post(f"/agents/{agent}/conversations", message=message, **fields)["task"])

    def _noted(self, task: dict[str, Any]) -> str:
        self.task_ids.add(task["id"])
        return task["id"]

    def send(self, task_id: str, content: str, **fields: Any) -> dict[str, Any]:
        """The response to the next message of a conversation."""
        return self.post(f"/conversations/{task_id}/messages", content=content, **fields)

    def messages(self, task_id: str) -> list[dict[str, Any]]:
        """The messages of a conversation, the oldest first."""
        return self.get(f"/conversations/{task_id}/messages", limit=100)["data"]

    def end(self, task_id: str) -> dict[str, Any]:
        """End a conversation; returns its task."""
        return self.once.conversations.get(task_id).end().task.to_wire()

    def _task(self, task_id: str) -> Task:
        return self.once.tasks.get(task_id)

    def task(self, task_id: str) -> dict[str, Any]:
        return self._task(task_id).to_wire()

    def cancel(self, task_id: str) -> dict[str, Any]:
        return self._task(task_id).cancel().to_wire()

    def steer(self, task_id: str, content: str) -> dict[str, Any]:
        return self._task(task_id).message(content).to_wire()

    def wake(self, task_id: str, message: str | None = None, **overrides: Any) -> dict[str, Any]:
        """Wake a hibernating task. `overrides` are arguments of the client."""
        return self._task(task_id).wake(message, **overrides).to_wire()

    def wait(self, task_id: str, *statuses: str, seconds: float = 60) -> dict[str, Any]:
        """Poll until the task has one of these statuses (default: any terminal one)."""
        deadline = time.monotonic() + seconds
        pause = 0.05
        while True:
            task = self.task(task_id)
            if task["status"] in (statuses or TERMINAL):
                return task
            assert time.monotonic() < deadline, f"still {task['status']}: {self.events(task_id)[-5:]}"
            time.sleep(pause)
            pause = min(pause * 1.2, 0.25)

    def run(self, instructions: str, **fields: Any) -> dict[str, Any]:
        """Dispatch and wait for the end."""
        return self.wait(self.dispatch(instructions, **fields))

    def events(self, task_id: str) -> list[dict[str, Any]]:
        events = [event.to_wire() for event in self.sdk.tasks.get(task_id).events()]
        for event in events:
            check_event(event)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        return events

    def until_event(self, task_id: str, is_it: Callable[[dict[str, Any]], bool], seconds: float = 60) -> None:
        """Wait for an event, without reading those before it again and again."""
        deadline = time.monotonic() + seconds
        last = 0
        while True:
            new = self.get(f"/tasks/{task_id}/events", after=last, limit=100)["data"]
            if any(is_it(event) for event in new):
                return
            last = new[-1]["sequence"] if new else last
            assert time.monotonic() < deadline, self.events(task_id)
            time.sleep(0.05)

    def files(self, task_id: str) -> list[dict[str, Any]]:
        """The output files of a task, without their content."""
        return [file.to_wire() for file in self.sdk.tasks.get(task_id).files()]

    def outputs(self, task_id: str) -> dict[str, bytes]:
        return {file.filename: file.read() for file in self.sdk.tasks.get(task_id).files()}

    def is_answered(self) -> bool:
        """Whether the API answers a request of this account."""
        try:
            self.once.account.get()
        except ApiError:
            return False
        return True

    def ledger_sum(self) -> float:
        return self.get("/account")["creditBalance"]
