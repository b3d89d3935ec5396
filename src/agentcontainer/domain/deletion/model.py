"""The dataclasses of deletion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcontainer.domain.tasks.state import Status


@dataclass(frozen=True)
class Deletable:
    """The columns of a task that decide whether it may be deleted."""

    id: str
    account_id: str
    status: Status
    is_collecting: bool
    """Whether a runner may still store its partial outputs."""


@dataclass(frozen=True)
class Removed:
    """What one step of the removal deleted: how many rows, and the keys of the blobs that they named."""

    rows: int
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class DeletableAccount:
    """The columns of an account that decide whether it may be deleted. `suspended_at` None: it is not suspended."""

    id: str
    suspended_at: datetime | None


@dataclass(frozen=True)
class Cancelled:
    """How many tasks were cancelled, and how many of the account have not ended."""

    cancelled: int
    remaining: int
