"""Answers requests for a log: a page, a page that waits for the next entry, or an event stream."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import KEY_IN_QUERY, asks_for_stream, find_principal, key_in_query
from agentcontainer.api.http.paging import TranscriptQuery
from agentcontainer.api.http.query import from_boolean, from_digits
from agentcontainer.api.http.services import Services
from agentcontainer.api.http.sse import MEDIA_TYPE, EventStream, until_disconnected
from agentcontainer.api.logs import Log
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.errors import Unauthorized, ValidationError

LAST_EVENT_ID = "Last-Event-ID"
MAX_WAIT_SECONDS = 30
MAX_LIMIT = 1000
_NOT_WITH_STREAM = ("limit", "cursor", "order", "wait", "fields")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class LogQuery(TranscriptQuery):
    """Which entries of a log to send, and how."""

    limit: Annotated[
        int,
        Field(ge=1, le=MAX_LIMIT, description="Entries of a page. It may have fewer if they are large."),
        from_digits,
    ] = 20
    wait: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="If there is no new entry yet, wait up to this many seconds for one. "
            "Not with a stream or `order=desc`.",
        ),
        from_digits,
    ] = 0
    stream: Annotated[
        bool,
        Field(
            description="Answer with an event stream, like `Accept: text/event-stream`. "
            f"Not with {', '.join(f'`{name}`' for name in _NOT_WITH_STREAM)}."
        ),
        from_boolean,
    ] = False
    api_key: Annotated[
        Annotated[str, Field(json_schema_extra={"format": "password"})] | None,
        Field(
            description="The API key, for browsers: their EventSource cannot send headers. With a stream only."
        ),
    ] = None


class LogPage(Protocol):
    """A page of a log."""

    @property
    def data(self) -> Sequence[object]:
        """Its entries."""
        ...


P = TypeVar("P", bound=LogPage)


def log_route(
    router: APIRouter, path: str, page: type[Any], *, entry: str, number: str, statuses: dict[int | str, Any]
) -> Callable[[Endpoint], Endpoint]:
    """A GET route that answers with a page of a log or with an event stream. `entry`: the name of what the log holds;
    `number`: of the field with its number."""
    server_sent_event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": f"The `{number}`. `message.delta` has none."},
            "event": {"type": "string", "description": "The `type`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": f"The `{entry}`. For `message.delta` an object with `type`, `taskId` and `data`.",
            },
        },
    }
    last_event_id = {
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": f"With a stream: continue after this {number}. It takes precedence over `after`.",
    }
    return router.get(
        path,
        response_model=page,
        dependencies=[Depends(key_in_query)],
        responses={200: {"content": {MEDIA_TYPE: {"schema": server_sent_event}}}} | statuses,
        openapi_extra={"parameters": [last_event_id]},
    )


def position_of(request: Request, query: LogQuery, after: int | None, end: int, log_name: str) -> int | None:
    """The number of the last entry that the client has, as it says; None: it does not say. `log_name`: for messages.

    Raises:
        ValidationError: the log does not go so far, or parameters do not fit together.
    """
    if asks_for_stream(request):
        for name in _NOT_WITH_STREAM:
            if name in query.model_fields_set:
                raise ValidationError.at(name, "cannot be given with a stream")
        if (last := _last_event_id(request)) is not None:
            return _checked(LAST_EVENT_ID, last, end, log_name)
    elif query.api_key is not None:
        raise ValidationError.at(KEY_IN_QUERY, "is allowed with an event stream only")
    elif query.wait and query.order != "asc":
        raise ValidationError.at("wait", "cannot be given with order=desc")
    return None if after is None else _checked("after", after, end, log_name)


def stream(request: Request, services: Services, log: Log, position: int) -> Response:
    """The event stream of the log from `position` on.

    Raises:
        RateLimited: the account has too many streams and waiting requests.
    """
    services.hub.check_room(log.account_id)
    return EventStream(services.hub, log, position, lambda: _check_unchanged(request, services))


async def _check_unchanged(request: Request, services: Services) -> None:
    """Authenticate the request again while it is answered.

    Raises:
        Unauthorized: the key was revoked or has expired, or may do something else than before. The client connects
            again, and is judged by what the key may do now.
        Forbidden: its account was suspended.
    """
    before: Principal = request.state.principal
    now = await find_principal(request, services)
    if now.grant != before.grant:
        raise Unauthorized("What this API key may do has changed. Send the request again.")


async def page_or_wait(
    request: Request, services: Services, query: LogQuery, log: Log, position: int, page: Callable[[], Awaitable[P]]
) -> P:  # fmt: skip
    """A page. If it is empty and the client says so, wait for an entry and read it again.

    Raises:
        RateLimited: the account has too many streams and waiting requests.
        ClientDisconnect: the client closed the connection.
    """
    first = await page()
    if first.data or not query.wait:
        return first
    services.hub.check_room(log.account_id)
    with services.hub.follow(log, position) as follower:
        disconnected = asyncio.create_task(until_disconnected(request.receive))
        disconnected.add_done_callback(lambda _: follower.stop())
        try:
            deadline = asyncio.get_running_loop().time() + query.wait
            while await follower.has_news(deadline):
                await _check_unchanged(request, services)
                again = await page()
                if again.data:
                    return again
                follower.skip()  # the key does not see the new entries
            if disconnected.done():
                raise ClientDisconnect
        finally:
            disconnected.cancel()
    await _check_unchanged(request, services)
    return await page()


def cursor_of(name: str, query: LogQuery) -> int | None:
    """The number of the last entry on the previous page of the list `name`."""
    return paging.sequence(f"{name}-{query.order}", query)


def _last_event_id(request: Request) -> int | None:
    values = request.headers.getlist(LAST_EVENT_ID)
    if values in ([], [""]):
        return None
    if len(values) != 1 or not re.fullmatch(r"[0-9]{1,18}", values[0]):
        raise ValidationError.at(LAST_EVENT_ID, "must be the id of an event of this stream, a number")
    return int(values[0])


def _checked(name: str, position: int, end: int, log_name: str) -> int:
    if position > end:
        raise ValidationError.at(name, f"{log_name} ends at {end}")
    return position
