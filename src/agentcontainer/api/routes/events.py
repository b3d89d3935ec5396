"""A task's event log: as a list, which can wait for what comes next, or as a stream."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import KEY_IN_QUERY, AccountId, asks_for_stream, key_of, streamable
from agentcontainer.api.http.paging import Order, PageInfo, PageQuery
from agentcontainer.api.http.query import Query, from_digits, from_truth
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.http.sse import MEDIA_TYPE, EventStream, until_gone
from agentcontainer.api.routes.tasks import TaskId
from agentcontainer.api.sse_frames import Event, wire_event
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.tasks import events, service
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import ValidationError

router = authenticated()

LAST_EVENT_ID = "Last-Event-ID"
MAX_WAIT_SECONDS = 30

# Of each event that is sent.
_SERVER_SENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "The `sequence`; `message.delta` has none."},
        "event": {"type": "string", "description": "The `type`."},
        "data": {
            "type": "string", "contentMediaType": "application/json",
            "description": "The `Event`; of `message.delta`: `type`, `taskId` and `data`.",
        },
    },
}  # fmt: skip

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class EventPage(Outgoing):
    """A page of a task's log."""

    data: list[Event]
    page_info: PageInfo


class EventsQuery(PageQuery):
    """Which events, oldest first unless asked otherwise; and how they come."""

    order: Annotated[Order, Field(description="Oldest or newest first.")] = "asc"
    after: Annotated[
        int, Field(ge=0, lt=10**18, description="Only events with a greater sequence."), from_digits
    ] = 0
    wait: Annotated[
        int,
        Field(
            ge=0, le=MAX_WAIT_SECONDS,
            description="While there is none, wait so many seconds for one. Not with a stream, nor newest first.",
        ),
        from_digits,
    ] = 0  # fmt: skip
    stream: Annotated[
        bool,
        Field(
            description="Answer with an event stream, as for `Accept: text/event-stream`; no `limit`, `cursor`, `order`"
        ),
        from_truth,
    ] = False
    api_key: Annotated[
        str | None,
        Field(
            description="With a stream only: the API key, as an EventSource cannot send headers.",
            json_schema_extra={"format": "password"},
        ),
    ] = None


EventsAsked = Annotated[EventsQuery, Depends(Query(EventsQuery))]


def _event_route(router: APIRouter, path: str, *errors: int) -> Callable[[Endpoint], Endpoint]:
    route = router.get(
        path,
        response_model=EventPage,
        responses={
            200: {"content": {MEDIA_TYPE: {"schema": _SERVER_SENT}}},
            204: {"description": "Instead of a stream: the task has ended and nothing is left, do not come again."},
            **{status: {} for status in errors},
        },
        openapi_extra={
            "security": [{"apiKey": []}, {"apiKeyInQuery": []}],
            "parameters": [
                {
                    "name": LAST_EVENT_ID, "in": "header", "required": False, "schema": {"type": "string"},
                    "description": "With a stream: go on after this sequence, whatever `after` says.",
                }
            ],
        },
    )  # fmt: skip
    return lambda endpoint: route(streamable(endpoint))


@_event_route(router, "/tasks/{taskId}/events")
async def list_events(
    request: Request, task_id: TaskId, account_id: AccountId, services: Provided, query: EventsAsked
) -> EventPage | Response:
    """What happened to the task, as a list or as a stream."""
    return await _answer(request, services, query, await service.get(services.pool, account_id, task_id))


@_event_route(router, "/conversations/{taskId}/events", 409)
async def list_conversation_events(
    request: Request, task_id: TaskId, account_id: AccountId, services: Provided, query: EventsAsked
) -> EventPage | Response:
    """What happened in the conversation, as a list or as a stream."""
    task = await conversations.check_is_conversation(services.pool, account_id, task_id)
    return await _answer(request, services, query, task)


async def _answer(
    request: Request, services: Services, query: EventsQuery, task: Task
) -> EventPage | Response:
    if asks_for_stream(request):
        return _stream(request, services, query, task)
    if query.api_key is not None:
        raise ValidationError.at(KEY_IN_QUERY, "unknown query parameter")
    _check_within(task, "after", query.after)
    if query.wait and query.order != "asc":
        raise ValidationError.at("wait", "cannot be given with order=desc")
    found = await _page(services, query, task)
    if found.data or not query.wait or task.status in TERMINAL:
        return found
    await _wait(
        request, services, task, max(query.after, paging.sequence("events-asc", query) or 0), query.wait
    )
    return await _page(services, query, task)


async def _page(services: Services, query: EventsQuery, task: Task) -> EventPage:
    name = f"events-{query.order}"
    position, is_descending = paging.sequence(name, query), query.order == "desc"
    page = await events.list_page(
        services.pool,
        task.id,
        after=query.after if is_descending else max(query.after, position or 0),
        before=position if is_descending else None,
        limit=query.limit,
        is_descending=is_descending,
    )
    info = paging.page_info(name, page, lambda event: str(event.sequence))
    return EventPage(data=[wire_event(event) for event in page.rows], page_info=info)


async def _wait(request: Request, services: Services, task: Task, position: int, seconds: int) -> None:
    """Until the log goes on after `position`, for so long at most.

    Raises:
        RateLimited: the account waits too often at once. ClientDisconnect: nobody waits any more.
    """
    services.hub.check_room(task.account_id)
    with services.hub.follow(task.account_id, task.id, task.last_event_sequence, position) as follower:
        leaving = asyncio.create_task(until_gone(request.receive))
        leaving.add_done_callback(lambda _: follower.stop())
        try:
            await follower.has_news(asyncio.get_running_loop().time() + seconds)
            if leaving.done():
                raise ClientDisconnect
        finally:
            leaving.cancel()


def _stream(request: Request, services: Services, query: EventsQuery, task: Task) -> Response:
    for name in ("limit", "cursor", "order", "wait"):
        if name in query.model_fields_set:
            raise ValidationError.at(name, "cannot be given with a stream")
    position = _last_event_id(request, task)
    if position is None:
        position = query.after
        _check_within(task, "after", position)
    if task.status in TERMINAL and position == task.last_event_sequence:
        return Response(status_code=204)
    services.hub.check_room(task.account_id)
    key = key_of(request)
    assert key is not None
    return EventStream(services.hub, task, position, lambda: accounts.authenticate(services.pool, key))


def _last_event_id(request: Request, task: Task) -> int | None:
    given = request.headers.getlist(LAST_EVENT_ID)
    if given in ([], [""]):
        return None
    if len(given) != 1 or not re.fullmatch(r"[0-9]{1,18}", given[0]):
        raise ValidationError.at(LAST_EVENT_ID, "must be the id of an event of this stream, a number")
    _check_within(task, LAST_EVENT_ID, int(given[0]))
    return int(given[0])


def _check_within(task: Task, name: str, position: int) -> None:
    if position > task.last_event_sequence:
        raise ValidationError.at(name, f"the log of this task ends at {task.last_event_sequence}")
