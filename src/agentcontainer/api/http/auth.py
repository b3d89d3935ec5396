"""Who is asking: the account of the API key in `Authorization: Bearer …`, or, for event streams, in `?apiKey=`."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from agentcontainer.api.http.query import pairs
from agentcontainer.api.http.services import Provided
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.errors import Unauthorized, ValidationError

KEY_IN_QUERY = "apiKey"
_BEARER = re.compile(r"bearer +([!-~]{1,200})", re.IGNORECASE)
_EVENT_STREAM = re.compile(r"text/event-stream *(;(?! *q=0(\.0*)? *$).*)?", re.IGNORECASE)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def streamable(endpoint: Endpoint) -> Endpoint:
    """A route that can answer with an event stream, and then takes the key in the query: EventSource has no headers."""
    vars(endpoint)["is_streamable"] = True
    return endpoint


def asks_for_stream(request: Request) -> bool:
    """Whether the response is to be an event stream: `stream` says it, or else `Accept` names that and not JSON."""
    if not hasattr(request.scope["route"].endpoint, "is_streamable"):
        return False
    said = pairs(request).get("stream")
    if said is not None:
        return said == "true"
    accepted = [part.strip() for line in request.headers.getlist("accept") for part in line.split(",")]
    if any(part.lower().startswith("application/json") for part in accepted):
        return False
    return any(_EVENT_STREAM.fullmatch(part) for part in accepted)


async def authenticate(request: Request, services: Provided) -> str:
    """The id of the account that asks; asked again for the same request, the same answer.

    Raises:
        Unauthorized: no key, not a key, or an unknown or revoked one.
        RateLimited: the key asks too often.
        ValidationError: the query cannot be read, or has another key than the header.
    """
    if hasattr(request.state, "account_id"):
        return request.state.account_id
    key = key_of(request)
    if key is None:
        raise Unauthorized("An API key is needed. Send `Authorization: Bearer ac_live_…`.")
    key_id, account_id = await accounts.authenticate(services.pool, key)
    services.rate_limit.take(key_id)
    request.state.account_id = account_id  # also for the access log
    return account_id


def key_of(request: Request) -> str | None:
    """The API key that came with the request.

    Raises:
        ValidationError: the query cannot be read, or has another key than the header.
    """
    headers = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    in_header = found and found[1]
    if not asks_for_stream(request):
        return in_header
    # Else a page would take every refusal for a lost connection and come back each second, for ever. The key is in
    # the URL and there are no cookies: another site's page can do nothing with it that it could not do without.
    request.state.open_to_pages = True
    in_query = pairs(request).get(KEY_IN_QUERY)
    if in_header is not None and in_query not in (None, in_header):
        raise ValidationError.at(KEY_IN_QUERY, "is another key than that of Authorization")
    return in_header if headers else in_query


def is_authenticated(route: APIRoute) -> bool:
    """Whether the route stands behind an API key."""
    return any(part.call is authenticate for part in route.dependant.dependencies)


AccountId = Annotated[str, Depends(authenticate)]
