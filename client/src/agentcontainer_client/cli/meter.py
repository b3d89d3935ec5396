"""Reads what a task has used so far, while it is shown."""

import contextlib
import threading
from types import TracebackType
from typing import Self

from agentcontainer_client import AgentContainer, AgentContainerError, Task

SECONDS = 2.0


class Meter:
    """In its block, `text` says what a task has cost so far. A thread reads it every few seconds."""

    def __init__(self, client: AgentContainer, task_id: str) -> None:
        self._client = client.with_options(timeout=5, max_retries=0)
        self._task_id = task_id
        self._has_ended = threading.Event()
        self.text = ""

    def __enter__(self) -> Self:
        self._has_ended.clear()
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_ended.set()

    def _read(self) -> None:
        while not self._has_ended.wait(SECONDS):
            with contextlib.suppress(AgentContainerError):  # the next one may succeed
                self.text = used(self._client.tasks.get(self._task_id))


def used(task: Task) -> str:
    """The tokens and the cost of a task."""
    usage = task.token_usage
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out, ${task.cost_usd:.4f}"
