"""Batches: up to 1,000 tasks that are dispatched by one request."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agentcontainer_client import _dispatch, inputs, models
from agentcontainer_client._calls import Call, body_of, operation, segment
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.tasks import Task, Tasks
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Batch(models.Batch):
    """A batch as it was when it was read. `counts`: its tasks by status."""

    transport: Transport = field(repr=False, compare=False)
    task_ids: Sequence[str] = ()
    """The ids of its tasks in the order of the request, after the dispatch only."""

    def refresh(self) -> "Batch":
        """The batch as it is now."""
        return Batches(self.transport).get(self.id)

    @operation("cancelBatch", batchId="self")
    def cancel(self, *, idempotency_key: str | None = None) -> "Batch":
        """Cancel those of its tasks that have not ended."""
        call = Call(
            method="POST",
            path=f"/batches/{segment(self.id)}/cancel",
            body={},
            idempotency_key=idempotency_key,
        )
        return self.transport.send(call, partial(Batch.from_wire, transport=self.transport))

    def tasks(self) -> Pager[Task]:
        """Its tasks, the newest first."""
        return Tasks(self.transport).list(batch=self.id)

    def as_completed(self, timeout: float | None = None) -> Iterator[Task]:
        """Its tasks as they end.

        Raises:
            WaitTimedOut: the time has passed and a task has not ended.
        """
        ids: list[str] = list(self.task_ids)
        if not ids:
            ids = [task.id for task in self.tasks()]
        for task in Tasks(self.transport).as_completed(ids, timeout=timeout):
            yield task


@dataclass(frozen=True)
class Batches:
    """`client.batches`: many tasks at once."""

    transport: Transport = field(repr=False)

    @operation("dispatchBatch", agentId="agent")
    def create(
        self,
        tasks: Sequence[str | inputs.BatchTask],
        *,
        agent: str | models.Agent | None = None,
        common: inputs.BatchTask | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Dispatch up to 1,000 tasks at once: instructions, or mappings with the names of the API.

        `common` applies to every task, except for what the task sets itself. All are dispatched, or none.
        """
        agent_id = _dispatch.agent_id(agent, self.transport.connection)
        bodies: list[Mapping[str, Any]] = [
            {"instructions": task} if isinstance(task, str) else dict(task) for task in tasks
        ]
        call = Call(
            method="POST",
            path=f"/agents/{segment(agent_id)}/tasks/batch",
            body=body_of(tasks=bodies, common=common),
            idempotency_key=idempotency_key,
        )
        return self.transport.send(call, self._dispatched)

    @operation("listBatches")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[Batch]:
        """The batches, the newest first."""
        return Pager(self.transport, "/batches", self._bound, limit=limit, cursor=cursor, order=order)

    @operation("getBatch", batchId="batch")
    def get(self, batch: str) -> Batch:
        """A batch by its id."""
        return self.transport.send(Call(method="GET", path=f"/batches/{segment(batch)}"), self._bound)

    def _bound(self, content: object) -> Batch:
        return Batch.from_wire(content, transport=self.transport)

    def _dispatched(self, content: Any) -> Batch:
        ids: list[str] = content["taskIds"]
        return Batch.from_wire(content["batch"], transport=self.transport, task_ids=tuple(ids))
