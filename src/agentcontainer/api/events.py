"""A task's event log, as a list."""

from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field

from agentcontainer.api import paging
from agentcontainer.api.auth import AccountId
from agentcontainer.api.paging import Order, PageInfo, PageQuery
from agentcontainer.api.query import Query, from_digits
from agentcontainer.api.routing import authenticated
from agentcontainer.api.services import Provided
from agentcontainer.api.tasks import TaskId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.tasks import events, service

router = authenticated()


class Event(Outgoing):
    """One entry of a task's log; `sequence` counts 1, 2, 3 … without gaps."""

    id: str
    sequence: int
    type: Annotated[str, Field(json_schema_extra={"examples": list(events.EVENT_TYPES)})]
    task_id: str
    created_at: Timestamp
    data: dict[str, Any]


class EventPage(Outgoing):
    """A page of a task's log."""

    data: list[Event]
    page_info: PageInfo


class EventsQuery(PageQuery):
    """Which events; oldest first unless asked otherwise."""

    order: Annotated[Order, Field(description="Oldest or newest first.")] = "asc"
    after: Annotated[int, Field(ge=0, description="Only events with a greater sequence."), from_digits] = 0


@router.get("/tasks/{taskId}/events")
async def list_events(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[EventsQuery, Depends(Query(EventsQuery))],
) -> EventPage:
    """What happened to the task."""
    task = await service.get(services.pool, account_id, task_id)
    name = f"events-{query.order}"
    position = paging.sequence(name, query)
    if query.order == "asc":
        first, wanted = max(query.after, position or 0), query.limit + 1
    else:
        # Sequences have no gaps, so the page before `end` is known without looking.
        end = task.last_event_sequence + 1 if position is None else position
        first = max(query.after, end - query.limit - 2)
        wanted = end - first - 1
    rows = await events.read_after(services.pool, task_id, first, wanted) if wanted > 0 else []
    if query.order == "desc":
        rows.reverse()
    page, info = paging.cut(name, rows, query.limit, lambda event: str(event.sequence))
    return EventPage(data=[_wire(event) for event in page], page_info=info)


def _wire(event: events.Event) -> Event:
    return Event(
        id=event.id,
        sequence=event.sequence,
        type=event.type,
        task_id=event.task_id,
        created_at=event.created_at,
        data=event.data,
    )
