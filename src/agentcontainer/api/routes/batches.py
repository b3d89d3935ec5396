"""The routes of batches: dispatch, read, list and cancel."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Self

from fastapi import Query
from pydantic import Field

from agentcontainer.api.event_data import TaskStatus
from agentcontainer.api.http import filtering
from agentcontainer.api.http.access import Agents, Level, access, acts, reads
from agentcontainer.api.http.auth import AccountId, Caller
from agentcontainer.api.http.idempotency import repeatable
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.http.trace_context import TraceParent
from agentcontainer.api.schemas.batches import (
    BatchRequest,
    check_callbacks,
    dispatches_of,
    naming_tasks_as_sent,
)
from agentcontainer.api.schemas.ids import AgentId, BatchId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.batches import model, service, store

router = authenticated("Batches")


class Batch(Outgoing):
    """Tasks that were dispatched together."""

    id: str
    agent_id: str
    counts: Annotated[dict[TaskStatus, int], Field(description="Tasks by status, without deleted ones.")]
    created_at: Timestamp

    @classmethod
    def of_batch(cls, batch: model.Batch) -> Self:
        """The batch as it is sent."""
        return cls.of(batch, counts={status.value: count for status, count in batch.counts.items()})


class DispatchedBatch(Outgoing):
    """A new batch, and the ids of its tasks in the order of the request."""

    batch: Batch
    task_ids: list[str]


class BatchPage(Outgoing):
    """A page of batches."""

    data: list[Batch]
    page_info: PageInfo


@router.post("/agents/{agentId}/tasks/batch", status_code=201, responses={402: {}, 409: {}})
@acts
async def dispatch_batch(
    agent_id: AgentId, account_id: AccountId, caller: Caller, traceparent: TraceParent, services: Provided,
    body: BatchRequest,
) -> DispatchedBatch:  # fmt: skip
    """Dispatch up to 1000 tasks, all or none.

    A field of `common` applies to every task that does not set it. Money is held for each task.
    """
    check_callbacks(services.settings, body)
    with naming_tasks_as_sent(body):
        batch, task_ids = await service.dispatch(
            services.pool,
            services.settings,
            services.vault,
            account_id,
            agent_id,
            dispatches_of(body, caller, traceparent),
        )
    return DispatchedBatch(batch=Batch.of_batch(batch), task_ids=task_ids)


@router.get("/batches")
@access(Level.READS, Agents.FILTERED)
async def list_batches(caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]) -> BatchPage:
    """List the account's batches."""
    read = partial(store.list_page, services.pool, caller.account_id, is_descending=query.order == "desc")

    async def choose(batches: Sequence[model.Batch]) -> Sequence[model.Batch]:
        return [batch for batch in batches if caller.sees_agent(batch.agent_id)]

    rows, info = await filtering.page(caller, query, "batches", read, lambda batch: batch.id, choose)
    return BatchPage(data=[Batch.of_batch(batch) for batch in rows], page_info=info)


@router.get("/batches/{batchId}")
@reads
async def get_batch(batch_id: BatchId, account_id: AccountId, services: Provided) -> Batch:
    """Get a batch, with its tasks counted by status."""
    return Batch.of_batch(await service.get(services.pool, account_id, batch_id))


@router.post("/batches/{batchId}/cancel")
@repeatable
@acts
async def cancel_batch(
    batch_id: BatchId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Batch:
    """Cancel the tasks of a batch that have not ended. Cancelling it again changes nothing."""
    return Batch.of_batch(await service.cancel(services.pool, services.settings, account_id, batch_id))
