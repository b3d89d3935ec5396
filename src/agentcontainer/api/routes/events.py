"""The routes of a task's event log: as a list, which can wait for the next event, as an event stream, and one event."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.params import Path
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.events import Event
from agentcontainer.api.http import logs, paging
from agentcontainer.api.http.access import reads
from agentcontainer.api.http.auth import AccountId, asks_for_stream
from agentcontainer.api.http.logs import LogQuery
from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.logs import Log
from agentcontainer.api.schemas.ids import TaskId
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.tasks import events, service
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import Gone, NotFound

router = authenticated("Events")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Sequence = Annotated[str, Path(alias="sequence", json_schema_extra={"pattern": "^[0-9]{1,18}$"})]


class EventPage(Outgoing):
    """A page of a task's event log."""

    data: list[Event]
    page_info: PageInfo


class EventsQuery(LogQuery):
    """Which events to send, and how."""

    after: Annotated[
        int, Field(ge=0, lt=10**18, description="Only events with a greater sequence."), from_digits
    ] = 0
    fields: Annotated[
        Literal["summary"] | None,
        Field(
            description=f"`summary`: strings in `data` are cut at {events.SUMMARY_CHARACTERS} characters. An event of "
            "which something was cut has `isShortened`."
        ),
    ] = None


def _event_route(router: APIRouter, path: str) -> Callable[[Endpoint], Endpoint]:
    statuses: dict[int | str, Any] = {
        204: {"description": "Instead of a stream: the task has ended and there are no further events."},
        409: {},
        410: {},
    }
    return logs.log_route(router, path, EventPage, entry="Event", number="sequence", statuses=statuses)


@_event_route(router, "/tasks/{taskId}/events")
@reads
async def list_events(
    request: Request,
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[EventsQuery, Query()],
) -> EventPage | Response:
    """List or follow the events of a task."""
    return await _answer(request, services, query, await service.get(services.pool, account_id, task_id))


@router.get("/tasks/{taskId}/events/{sequence}")
@reads
async def get_event(task_id: TaskId, sequence: Sequence, account_id: AccountId, services: Provided) -> Event:
    """Read one event of a task."""
    return await _event(services, await service.get(services.pool, account_id, task_id), sequence)


@_event_route(router, "/conversations/{taskId}/events")
@reads
async def list_conversation_events(
    request: Request,
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[EventsQuery, Query()],
) -> EventPage | Response:
    """List or follow the events of a conversation.

    409 if the task is no conversation.
    """
    task = await conversations.check_is_conversation(services.pool, account_id, task_id)
    return await _answer(request, services, query, task)


@router.get("/conversations/{taskId}/events/{sequence}", responses={409: {}})
@reads
async def get_conversation_event(
    task_id: TaskId, sequence: Sequence, account_id: AccountId, services: Provided
) -> Event:
    """Read one event of a conversation.

    409 if the task is no conversation.
    """
    task = await conversations.check_is_conversation(services.pool, account_id, task_id)
    return await _event(services, task, sequence)


async def _event(services: Services, task: Task, sequence: str) -> Event:
    number = int(sequence) if re.fullmatch(r"[1-9][0-9]{0,17}", sequence) else 0
    event = await events.get(services.pool, task.id, number)
    if event is None:
        raise NotFound(f"Task {task.id} has no event {sequence}.")
    return Event.of(event)


async def _answer(
    request: Request, services: Services, query: EventsQuery, task: Task
) -> EventPage | Response:
    log = Log(task.id, task.account_id, task.last_event_sequence)
    stated_after = query.after if "after" in query.model_fields_set else None
    stated = logs.position_of(request, query, stated_after, log.end, "the log of this task")
    if stated is not None and stated < task.events_purged_to:
        raise Gone(
            f"The events up to {task.events_purged_to} of this task have been removed, because they are older "
            f"than this installation keeps events. The log begins after {task.events_purged_to}."
        )
    position = max(stated or 0, task.events_purged_to)
    if asks_for_stream(request):
        if task.status in TERMINAL and position == log.end:
            return Response(status_code=204)
        return logs.stream(request, services, log, position)
    after, before = position, logs.cursor_of("events", query)
    if query.order == "asc":
        after, before = max(after, before or 0), None

    async def page() -> EventPage:
        return await _page(services, query, task.id, after, before)

    if task.status in TERMINAL:
        return await page()
    return await logs.page_or_wait(request, services, query, log, after, page)


async def _page(
    services: Services, query: EventsQuery, task_id: str, after: int, before: int | None
) -> EventPage:
    page = await events.list_page(
        services.pool, task_id, after=after, before=before, limit=query.limit, is_descending=query.order == "desc",
        is_summary=query.fields == "summary",
    )  # fmt: skip
    info = paging.page_info(f"events-{query.order}", page, lambda event: str(event.sequence))
    return EventPage(data=[Event.of(event) for event in page.rows], page_info=info)
