"""The routes of browser sessions, login codes, and logins of command lines that a browser approves."""

from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from agentcontainer.api.connections import network_of
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers, public
from agentcontainer.api.http.auth import Acting, Caller, client_address
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields, base_url
from agentcontainer.api.http.routing import V1, authenticated, id_in_path, unauthenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.sessions import Session, SessionRole
from agentcontainer.api.wire import Incoming, Line, Outgoing, Timestamp
from agentcontainer.domain.cli_logins import service as cli_logins
from agentcontainer.domain.sessions import service, store
from agentcontainer.errors import Conflict, Unauthorized
from agentcontainer.settings import Settings

SessionId = Annotated[str, id_in_path("sessionId")]
LoginId = Annotated[str, id_in_path("loginId")]
LoginStatus = TypeAliasType("LoginStatus", Literal["pending", "approved", "denied"])

router = authenticated("Sessions")
public_router = unauthenticated("Sessions")


class SessionPage(Outgoing):
    """A page of sessions."""

    data: list[Session]
    page_info: PageInfo


class LoginCode(Outgoing):
    """A link that logs one browser in, once."""

    url: Annotated[str, Field(description="Treat it as a password. The code is after the #.")]
    expires_at: Timestamp


class CliLoginRequest(Incoming):
    """A command line that asks to be logged in."""

    hostname: Annotated[
        Line, Field(max_length=100, description="Of its machine, for the person who approves.")
    ]


class StartedCliLogin(Outgoing):
    """A login of a command line. `url` is for the person, `deviceCode` for the command line alone."""

    id: str
    device_code: Annotated[str, Field(json_schema_extra={"format": "password"})]
    phrase: Annotated[str, Field(description="To be shown in the terminal: the browser must show the same.")]
    url: str
    expires_at: Timestamp


class CliLogin(Outgoing):
    """A login of a command line, as the person sees it who is asked to approve it."""

    id: str
    status: LoginStatus
    phrase: str
    hostname: Annotated[str, Field(description="As the command line says.")]
    address: Annotated[str | None, Field(description="From where it asked.")]
    created_at: Timestamp
    expires_at: Timestamp


class CliLoginDecision(Incoming):
    """Whether the command line gets an API key, and with which role."""

    is_approved: bool
    role: Annotated[SessionRole | None, Field(description="At most your own. Default: `member`.")] = None


class CliLoginPoll(Incoming):
    """The device code of a login."""

    device_code: Annotated[str, Field(min_length=1, max_length=200, repr=False)]


class CliLoginResult(Outgoing):
    """What came of a login."""

    status: LoginStatus
    api_key: Annotated[str | None, Field(description="Once it is approved.")]
    account_id: str | None


@router.get("/sessions")
@access(Level.READS, Agents.FILTERED)
async def list_sessions(
    caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]
) -> SessionPage:
    """List the browsers that are logged in to the account; for a key that may not administer it, only its own."""
    page = await store.list_page(
        services.pool,
        caller.account_id,
        service.visible_key(caller),
        after_id=paging.position("sessions", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("sessions", page, lambda session: session.id)
    return SessionPage(
        data=[Session.of(session, is_current=session.id == caller.id) for session in page.rows],
        page_info=info,
    )


@router.delete("/sessions/{sessionId}", status_code=204, response_class=Response)
@access(Level.ACTS, Agents.FILTERED)
async def end_session(session_id: SessionId, caller: Caller, actor: Acting, services: Provided) -> None:
    """Log a browser out at once."""
    await service.end(services.pool, caller, session_id, actor)


@router.post("/login-codes", status_code=201, responses={409: {}})
@access(Level.ACTS, Agents.INDEPENDENT)
async def create_login_code(
    request: Request, caller: Caller, actor: Acting, services: Provided, _body: NoFields = NO_FIELDS
) -> LoginCode:
    """Make a link that logs one browser in, once, with the rights of this key.

    It works for 10 minutes. 409 where the dashboard is switched off.
    """
    url = _page(request, services.settings, "/login")
    code, expires_at = await service.create_code(services.pool, caller, actor)
    return LoginCode(url=f"{url}#{code}", expires_at=expires_at)


@public_router.post(f"{V1}/cli-logins", status_code=201, responses={409: {}, 429: {}})
@public
async def begin_cli_login(request: Request, services: Provided, body: CliLoginRequest) -> StartedCliLogin:
    """Begin the login of a command line, which a person approves in a browser. No API key is needed.

    The command line shows `url` and `phrase`, and polls with `deviceCode`. 409 where the dashboard is switched off.
    """
    page = _page(request, services.settings, "/cli/approve")
    address = client_address(request, services)
    services.cli_logins.take(network_of(address or ""))
    login, device_code = await cli_logins.create(services.pool, body.hostname, address)
    return StartedCliLogin.of(login, device_code=device_code, url=f"{page}?login={login.id}")


@public_router.post(f"{V1}/cli-logins/poll", responses={401: {}, 429: {}})
@public
async def poll_cli_login(request: Request, services: Provided, body: CliLoginPoll) -> CliLoginResult:
    """Ask what came of a login. Repeat it every few seconds.

    Once it is approved, the answer has the API key, until the login expires.
    """
    try:
        login, api_key = await cli_logins.poll(services.pool, body.device_code)
    except Unauthorized:
        services.failed_logins.take(network_of(client_address(request, services) or ""))
        raise
    return CliLoginResult.of(login, api_key=api_key)


@router.get("/cli-logins/{loginId}")
@access(Level.READS, Agents.INDEPENDENT)
async def get_cli_login(login_id: LoginId, _caller: Caller, services: Provided) -> CliLogin:
    """Get a login of a command line, to show it to the person who is asked to approve it."""
    return CliLogin.of(await cli_logins.get(services.pool, login_id))


@router.post("/cli-logins/{loginId}/decide", responses={403: {}, 409: {}})
@administers
async def decide_cli_login(
    login_id: LoginId, caller: Caller, actor: Acting, services: Provided, body: CliLoginDecision
) -> CliLogin:
    """Approve or deny the login of a command line.

    An approved one has a new API key of this account.
    """
    login = await cli_logins.decide(
        services.pool,
        caller,
        login_id,
        "approved" if body.is_approved else "denied",
        body.role or "member",
        actor,
    )
    return CliLogin.of(login)


def _page(request: Request, settings: Settings, path: str) -> str:
    """A page of the dashboard, as the client of this request reaches it.

    Raises:
        Conflict: the dashboard is switched off.
    """
    if not settings.dashboard:
        raise Conflict("The dashboard of this installation is switched off. Use an API key.")
    return base_url(request, settings) + path
