"""The dataclasses of browser sessions and login codes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agentcontainer.domain.accounts.principal import Grant, Role

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
CODE_LIFE = timedelta(minutes=10)
MAX_SESSIONS = 1000  # of one account; the ones that were idle for longest end
MAX_USER_AGENT = 300


@dataclass(frozen=True)
class Session:
    """A browser that is logged in. `key_id` None: by a link of the command line."""

    id: str
    account_id: str
    key_id: str | None
    role: Role
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    user_agent: str


@dataclass(frozen=True)
class NewSession:
    """A session about to be inserted. `expires_at`: its end, whatever happens."""

    id: str
    token_hash: bytes
    account_id: str
    key_id: str | None
    role: Role
    expires_at: datetime
    user_agent: str


@dataclass(frozen=True)
class SessionOwner:
    """Whose session a token is, with the rights of its key as they are now."""

    session: Session
    account_name: str
    grant: Grant
    is_operator: bool
    is_suspended: bool
    is_use_due: bool


@dataclass(frozen=True)
class LoginCode:
    """What a code logs in to. `session_expires_at`: the end of the session that made it; None: a key or the command
    line did."""

    account_id: str
    account_name: str
    key_id: str | None
    role: Role
    session_expires_at: datetime | None
