"""The dataclasses of the audit log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agentcontainer.domain.accounts.principal import Principal

ActorKind = Literal["key", "session", "cli", "link", "platform"]


@dataclass(frozen=True)
class Actor:
    """Who does something, and from where. `account_id` None: the command line of the installation. `id`: of the key,
    session or link; for the command line the user's name on the host."""

    account_id: str | None
    kind: ActorKind
    id: str | None
    address: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, principal: Principal, *, address: str | None, request_id: str | None) -> "Actor":
        """The sender of a request."""
        return cls(principal.account_id, principal.kind, principal.id, address, request_id)


COMMAND_LINE = Actor(None, "cli", None)
PLATFORM = Actor(None, "platform", None)  # nobody asked for it


@dataclass(frozen=True)
class AuditEntry:
    """One act. `account_id`: the account that it concerns, in whose list it stands; None: the installation."""

    id: str
    account_id: str | None
    at: datetime
    actor: Actor
    action: str
    target: str | None
