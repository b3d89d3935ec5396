"""The dataclasses of logins of command lines."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

LIFE = timedelta(minutes=10)
MAX_OPEN = 1000  # of the installation

LoginStatus = Literal["pending", "approved", "denied"]


@dataclass(frozen=True)
class CliLogin:
    """A command line that asks for an API key. `address`: where the request came from."""

    id: str
    phrase: str
    hostname: str
    address: str | None
    created_at: datetime
    expires_at: datetime
    status: LoginStatus
    account_id: str | None
    key_id: str | None


@dataclass(frozen=True)
class NewCliLogin:
    """A login about to be inserted. `key_hash` and `last4`: of the key that it will have."""

    id: str
    device_hash: bytes
    key_hash: bytes
    last4: str
    phrase: str
    hostname: str
    address: str | None
