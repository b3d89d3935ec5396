"""The root route `/session`: a browser logs in, asks who it is, and logs out.

The session is a cookie that scripts cannot read, so these routes stand beside the API, which programs use with keys.
"""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import Request
from pydantic import Field, model_validator
from starlette.responses import Response

from agentcontainer.api.connections import network_of
from agentcontainer.api.http import browser
from agentcontainer.api.http.access import public
from agentcontainer.api.http.auth import client_address, session_token
from agentcontainer.api.http.routing import unauthenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.sessions import SessionRole
from agentcontainer.api.wire import Incoming, Outgoing, Timestamp
from agentcontainer.domain.sessions import service
from agentcontainer.errors import Forbidden, Unauthorized
from agentcontainer.telemetry import metrics

router = unauthenticated("Sessions")


class LoginRequest(Incoming):
    """How to log in: with an API key, or with a login code."""

    api_key: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | None,
        Field(repr=False, json_schema_extra={"format": "password"}),
    ] = None
    code: Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, Field(repr=False)] = None
    is_confirmed: Annotated[
        bool | None,
        Field(description="The user has agreed to what a 409 said: to log in to this account."),
    ] = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.api_key is None) == (self.code is None):
            raise ValueError("must hold apiKey or code, and not both")
        return self


class SessionAccount(Outgoing):
    """The account that the browser is logged in to."""

    id: str
    name: str


class CurrentSession(Outgoing):
    """The session of this browser, and what it may do now."""

    id: str
    account: SessionAccount
    role: SessionRole
    is_operator: bool
    agent_ids: Annotated[list[str] | None, Field(description="The agents that it sees; null: all.")]
    created_at: Timestamp
    expires_at: Annotated[
        Timestamp, Field(description="At the latest; sooner after 7 days without a request.")
    ]


@router.post(
    "/session",
    status_code=204,
    response_class=Response,
    responses={401: {}, 403: {}, 409: {}, 421: {}, 429: {}},
)
@public
async def log_in(request: Request, services: Provided, body: LoginRequest) -> Response:
    """Log this browser in: the answer sets a cookie.

    409 if the user has to agree first, because the browser is logged in to another account, or a code is not of the
    installation's first account. Only the platform's own pages can log a browser in.
    """
    _check_page(request, services)
    came_from = service.Browser(
        request.headers.get("user-agent", ""), client_address(request, services), request.state.request_id,
        browser.token_of(request, services.settings),
    )  # fmt: skip
    is_confirmed = body.is_confirmed is True
    try:
        if body.api_key is not None:
            token, session = await service.log_in_with_key(
                services.pool, body.api_key, came_from, is_confirmed=is_confirmed
            )
        else:
            token, session = await service.log_in_with_code(
                services.pool, body.code or "", came_from, is_confirmed=is_confirmed
            )
    except Unauthorized:
        metrics.LOGINS.labels(_method_of(body), "failed").inc()
        services.failed_logins.take(network_of(came_from.address or ""))
        raise
    metrics.LOGINS.labels(_method_of(body), "succeeded").inc()
    request.state.account_id = session.account_id  # for the access log
    response = Response(status_code=204)
    seconds = int((session.expires_at - datetime.now(UTC)).total_seconds())
    browser.set_cookie(response, request, services.settings, token, max(seconds, 1))
    return response


@router.get("/session", responses={401: {}, 403: {}, 421: {}})
@public
async def get_session(request: Request, services: Provided) -> CurrentSession:
    """Say who this browser is."""
    token = session_token(request, services)
    if token is None:
        raise Unauthorized(service.NO_SESSION)
    owner = await service.read(services.pool, token)
    request.state.account_id = owner.session.account_id
    principal = service.principal_of(owner)
    return CurrentSession.of(
        owner.session,
        account=SessionAccount(id=owner.session.account_id, name=owner.account_name),
        role=principal.role,
        is_operator=owner.is_operator,
        agent_ids=principal.visible_agents(),
        expires_at=service.end_of(owner),
    )


@router.delete("/session", status_code=204, response_class=Response, responses={403: {}, 421: {}})
@public
async def log_out(request: Request, services: Provided) -> Response:
    """Log this browser out. Without a session nothing changes."""
    _check_page(request, services)
    token = browser.token_of(request, services.settings)
    if token is not None:
        await service.log_out(
            services.pool, token, client_address(request, services), request.state.request_id
        )
    response = Response(status_code=204)
    browser.set_cookie(response, request, services.settings, "", 0)
    return response


def _method_of(body: LoginRequest) -> str:
    """The label of this login in the metrics."""
    return "code" if body.api_key is None else "api_key"


def _check_page(request: Request, services: Services) -> None:
    """Let only our own pages log a browser in or out.

    Raises:
        Misdirected: the host name is none of ours.
        Forbidden: another page sends the request.
    """
    browser.check_host(request, services.settings)
    if not browser.is_of_own_page(request, services.settings):
        raise Forbidden("Only a page of this installation can log a browser in or out.")
