"""The routes of a task's event log: as a list, which can wait for the next event, or as an event stream."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agentcontainer.api.events import Event
from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import KEY_IN_QUERY, AccountId, asks_for_stream, key_in_query, key_of
from agentcontainer.api.http.paging import PageInfo, TranscriptQuery
from agentcontainer.api.http.query import from_boolean, from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.http.sse import MEDIA_TYPE, EventStream, until_disconnected
from agentcontainer.api.schemas.ids import TaskId
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.tasks import events, service
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import ValidationError

router = authenticated("Events")

LAST_EVENT_ID = "Last-Event-ID"
MAX_WAIT_SECONDS = 30

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class EventPage(Outgoing):
    """A page of a task's event log."""

    data: list[Event]
    page_info: PageInfo


class EventsQuery(TranscriptQuery):
    """Which events to send, and how."""

    after: Annotated[
        int, Field(ge=0, lt=10**18, description="Only events with a greater sequence."), from_digits
    ] = 0
    wait: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="If there is no event yet, wait up to this many seconds for one. "
            "Not with a stream or `order=desc`.",
        ),
        from_digits,
    ] = 0
    stream: Annotated[
        bool,
        Field(
            description="Answer with an event stream, like `Accept: text/event-stream`. "
            "Not with `limit`, `cursor`, `order` or `wait`."
        ),
        from_boolean,
    ] = False
    api_key: Annotated[
        Annotated[str, Field(json_schema_extra={"format": "password"})] | None,
        Field(
            description="The API key, for browsers: their EventSource cannot send headers. With a stream only."
        ),
    ] = None


def _event_route(router: APIRouter, path: str) -> Callable[[Endpoint], Endpoint]:
    """A GET route that answers with a page of events or with an event stream."""
    server_sent_event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "The event's `sequence`. `message.delta` has none."},
            "event": {"type": "string", "description": "The event's `type`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "The `Event`. For `message.delta` an object with `type`, `taskId` and `data`.",
            },
        },
    }
    last_event_id = {
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "With a stream: continue after this sequence. It takes precedence over `after`.",
    }
    return router.get(
        path,
        response_model=EventPage,
        dependencies=[Depends(key_in_query)],
        responses={
            200: {"content": {MEDIA_TYPE: {"schema": server_sent_event}}},
            204: {"description": "Instead of a stream: the task has ended and there are no further events."},
            409: {},
        },
        openapi_extra={"parameters": [last_event_id]},
    )


@_event_route(router, "/tasks/{taskId}/events")
async def list_events(
    request: Request,
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[EventsQuery, Query()],
) -> EventPage | Response:
    """List or follow the events of a task."""
    return await _answer(request, services, query, await service.get(services.pool, account_id, task_id))


@_event_route(router, "/conversations/{taskId}/events")
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


async def _answer(
    request: Request, services: Services, query: EventsQuery, task: Task
) -> EventPage | Response:
    if asks_for_stream(request):
        return _stream(request, services, query, task)
    if query.api_key is not None:
        raise ValidationError.at(KEY_IN_QUERY, "is allowed with an event stream only")
    _check_within_log(task, "after", query.after)
    if query.wait and query.order != "asc":
        raise ValidationError.at("wait", "cannot be given with order=desc")
    page = await _page(services, query, task)
    if page.data or not query.wait or task.status in TERMINAL:
        return page
    position = max(query.after, paging.sequence("events-asc", query) or 0)
    await _wait(request, services, task, position, query.wait)
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
    return EventPage(data=[Event.of(event) for event in page.rows], page_info=info)


async def _wait(request: Request, services: Services, task: Task, position: int, seconds: int) -> None:
    """Wait until the log has an event after `position`, for so many seconds at most.

    Raises:
        RateLimited: the account has too many streams and waiting requests.
        ClientDisconnect: the client closed the connection.
    """
    services.hub.check_room(task.account_id)
    with services.hub.follow(task.account_id, task.id, task.last_event_sequence, position) as follower:
        disconnected = asyncio.create_task(until_disconnected(request.receive))
        disconnected.add_done_callback(lambda _: follower.stop())
        try:
            await follower.has_news(asyncio.get_running_loop().time() + seconds)
            if disconnected.done():
                raise ClientDisconnect
        finally:
            disconnected.cancel()


def _stream(request: Request, services: Services, query: EventsQuery, task: Task) -> Response:
    for name in ("limit", "cursor", "order", "wait"):
        if name in query.model_fields_set:
            raise ValidationError.at(name, "cannot be given with a stream")
    position = _last_event_id(request, task)
    if position is None:
        position = query.after
        _check_within_log(task, "after", position)
    if task.status in TERMINAL and position == task.last_event_sequence:
        return Response(status_code=204)
    services.hub.check_room(task.account_id)
    key = key_of(request)
    assert key is not None
    return EventStream(services.hub, task, position, lambda: accounts.authenticate(services.pool, key))


def _last_event_id(request: Request, task: Task) -> int | None:
    values = request.headers.getlist(LAST_EVENT_ID)
    if values in ([], [""]):
        return None
    if len(values) != 1 or not re.fullmatch(r"[0-9]{1,18}", values[0]):
        raise ValidationError.at(LAST_EVENT_ID, "must be the id of an event of this stream, a number")
    _check_within_log(task, LAST_EVENT_ID, int(values[0]))
    return int(values[0])


def _check_within_log(task: Task, name: str, position: int) -> None:
    if position > task.last_event_sequence:
        raise ValidationError.at(name, f"the log of this task ends at {task.last_event_sequence}")
