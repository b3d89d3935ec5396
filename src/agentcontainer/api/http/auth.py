"""Authenticates requests by their API key, in `Authorization: Bearer …` or, for event streams only, `?apiKey=`."""

import re
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi import models as openapi
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from agentcontainer.api.connections import Connection
from agentcontainer.api.http import browser
from agentcontainer.api.http.request import query_of
from agentcontainer.api.http.sender import sender_of
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.audit.model import Actor
from agentcontainer.domain.sessions import service as sessions
from agentcontainer.errors import Unauthorized, ValidationError

KEY_IN_QUERY = "apiKey"
_BEARER = re.compile(r"bearer +([!-~]{1,200})", re.IGNORECASE)
_EVENT_STREAM = re.compile(r"text/event-stream *(;(?! *q=0(\.0*)? *$).*)?", re.IGNORECASE)


class _ApiKey(SecurityBase):
    """The dependency that authenticates a request, and its description as a security scheme."""

    scheme_name = "apiKey"
    model = openapi.HTTPBearer(description="An API key: `ac_live_…`.")

    async def __call__(self, request: Request, services: Provided) -> str:
        """The id of the account that the key belongs to. Further calls for the same request do no work.

        Raises:
            Unauthorized: there is no key, or it is unknown, revoked or expired.
            Forbidden: its account is suspended.
            Misdirected: a session's cookie came under a host name that is none of ours.
            RateLimited: the key sends too many requests, or the account has too many connections.
            ValidationError: the query cannot be decoded, or holds another key than the header.
        """
        if hasattr(request.state, "principal"):
            return request.state.principal.account_id
        principal = await find_principal(request, services)
        services.rate_limit.take(principal.id)
        authenticate_connection(request, principal.account_id)
        request.state.account_id = principal.account_id  # also for the access log
        request.state.principal = principal
        return principal.account_id


async def find_principal(request: Request, services: Services) -> Principal:
    """Who sends the request, as the database says now. Raises as `authenticate` does."""
    key = key_of(request)
    if key is not None:
        return await accounts.authenticate(services.pool, key)
    if "authorization" not in request.headers and (token := session_token(request, services)) is not None:
        return await sessions.authenticate(services.pool, token)
    raise Unauthorized("An API key is needed. Send `Authorization: Bearer ac_live_…`.")


def session_token(request: Request, services: Services) -> str | None:
    """The token of the browser's session, if the request has one.

    Raises:
        Misdirected: the host name is none of ours.
        Unauthorized: the request does not come from a page of the platform, so its cookie does not count.
    """
    token = browser.token_of(request, services.settings)
    if token is None:
        return None
    browser.check_host(request, services.settings)
    if not browser.is_of_own_page(request, services.settings):
        raise Unauthorized("A browser's session counts only in requests of the platform's own pages.")
    return token


class _ApiKeyInQuery(SecurityBase):
    """Marks a route that can answer with an event stream, and then takes the key in the query as well.

    `EventSource`, the browser's client of event streams, cannot send headers.
    """

    scheme_name = "apiKeyInQuery"
    model = openapi.APIKey.model_validate(
        {"in": "query", "name": KEY_IN_QUERY, "description": "For event streams only."}
    )

    async def __call__(self) -> None:
        """Does nothing: `authenticate` reads the key."""


def authenticate_connection(request: Request, account_id: str | None) -> None:
    """Record on the connection that this request is authenticated. `account_id`: None if it has a signature, not a key.

    Raises:
        RateLimited: the account has too many connections.
    """
    connection: Connection | None = getattr(
        request.state, "connection", None
    )  # None: there is no HTTP server
    if connection is not None:
        connection.authenticate(account_id)


authenticate = _ApiKey()
key_in_query = _ApiKeyInQuery()
AccountId = Annotated[str, Depends(authenticate)]


async def _principal(request: Request, _account_id: AccountId) -> Principal:
    return request.state.principal


Caller = Annotated[Principal, Depends(_principal)]


async def _actor(request: Request, principal: Caller, services: Provided) -> Actor:
    address = client_address(request, services)
    return Actor.of(principal, address=address, request_id=request.state.request_id)


Acting = Annotated[Actor, Depends(_actor)]


def client_address(request: Request, services: Services) -> str | None:
    """The client's IP address, as the socket or a trusted proxy has it."""
    return sender_of(request.scope, services.settings).address


def asks_for_stream(request: Request) -> bool:
    """Whether the client wants an event stream: `stream` decides, else `Accept` with that type and without JSON."""
    if not _depends_on(request.scope["route"], key_in_query):
        return False
    stream = query_of(request).get("stream")
    if stream is not None:
        return stream == "true"
    accepted = [part.strip() for line in request.headers.getlist("accept") for part in line.split(",")]
    if any(part.lower().startswith("application/json") for part in accepted):
        return False
    return any(_EVENT_STREAM.fullmatch(part) for part in accepted)


def key_of(request: Request) -> str | None:
    """The API key of the request, if there is one.

    Raises:
        ValidationError: the query cannot be decoded, or holds another key than the header.
    """
    headers = request.headers.getlist("authorization")
    bearer = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    in_header = bearer and bearer[1]
    if not asks_for_stream(request):
        return in_header
    in_query = query_of(request).get(KEY_IN_QUERY)
    # Set before the key is checked: a page that cannot see that it was refused would let its EventSource reconnect
    # every second. It is safe: a page of another site can send only a key that it has.
    request.state.open_to_pages = in_query is not None
    if in_header is not None and in_query not in (None, in_header):
        raise ValidationError.at(KEY_IN_QUERY, "differs from the key in Authorization")
    return in_header if headers else in_query


def is_authenticated(route: APIRoute) -> bool:
    """Whether the route needs an API key."""
    return _depends_on(route, authenticate)


def _depends_on(route: APIRoute, dependency: SecurityBase) -> bool:
    return any(part.call is dependency for part in route.dependant.dependencies)
