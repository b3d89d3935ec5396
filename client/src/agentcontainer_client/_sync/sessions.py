"""Browser sessions, links that log browsers in, and logins of command lines."""

# Written by scripts/render_sync.py from _async. Do not edit.

from dataclasses import dataclass, field

from agentcontainer_client import models
from agentcontainer_client._calls import Call, body_of, operation, segment
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True)
class Sessions:
    """`client.sessions`: the browsers that are logged in to the account."""

    transport: Transport = field(repr=False)

    @operation("listSessions")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.Session]:
        """The sessions, the newest first."""
        return Pager(
            self.transport, "/sessions", models.Session.from_wire, limit=limit, cursor=cursor, order=order
        )

    @operation("endSession", sessionId="session")
    def end(self, session: str | models.Session) -> None:
        """Log a browser out at once."""
        session_id = session if isinstance(session, str) else session.id
        self.transport.request(Call(method="DELETE", path=f"/sessions/{segment(session_id)}"))

    @operation("createLoginCode")
    def create_link(self, *, idempotency_key: str | None = None) -> models.LoginCode:
        """A link that logs one browser in, once, with the rights of this key. It works for 10 minutes."""
        call = Call(method="POST", path="/login-codes", body={}, idempotency_key=idempotency_key)
        return self.transport.send(call, models.LoginCode.from_wire)


@dataclass(frozen=True)
class CliLogins:
    """`client.cli_logins`: logins of command lines, which a person approves in a browser."""

    transport: Transport = field(repr=False)

    @operation("beginCliLogin")
    def begin(self, hostname: str) -> models.StartedCliLogin:
        """Begin a login. It needs no key: show `url` and `phrase`, then poll with `device_code`."""
        call = Call(method="POST", path="/cli-logins", body=body_of(hostname=hostname), has_effect=False)
        return self.transport.send(call, models.StartedCliLogin.from_wire)

    @operation("pollCliLogin")
    def poll(self, device_code: str) -> models.CliLoginResult:
        """What came of a login. Once it is approved, the answer has the API key."""
        body = body_of(device_code=device_code)
        call = Call(method="POST", path="/cli-logins/poll", body=body, has_effect=False)
        return self.transport.send(call, models.CliLoginResult.from_wire)

    @operation("getCliLogin", loginId="login")
    def get(self, login: str) -> models.CliLogin:
        """A login by its id, to show it to the person who is asked to approve it."""
        call = Call(method="GET", path=f"/cli-logins/{segment(login)}")
        return self.transport.send(call, models.CliLogin.from_wire)

    @operation("decideCliLogin", loginId="login")
    def decide(
        self,
        login: str,
        *,
        is_approved: bool,
        role: models.SessionRole | None = None,
        idempotency_key: str | None = None,
    ) -> models.CliLogin:
        """Approve or deny a login. An approved one has a new API key of this account."""
        body = body_of(is_approved=is_approved, role=role)
        path = f"/cli-logins/{segment(login)}/decide"
        call = Call(method="POST", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.CliLogin.from_wire)
