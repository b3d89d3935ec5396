"""The dataclasses of wake links."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WakeKind = Literal["message", "external_wake", "deadline", "link", "provider", "budget"]


@dataclass(frozen=True)
class NewWakeLink:
    """A link about to be inserted. `attempt`: of the agent that asked for it; None: its client did."""

    id: str
    task_id: str
    attempt: int | None
    life: timedelta


@dataclass(frozen=True)
class StoredWakeLink:
    """A row of `wake_links`. `hibernation_number` is the one hibernation that it ends. Hibernations for a provider do
    not count. `is_suspended`: the account of its task is."""

    id: str
    task_id: str
    hibernation_number: int
    has_expired: bool
    used_at: datetime | None
    is_suspended: bool


@dataclass(frozen=True)
class WakeLink:
    """What the holder of a link may see of its task. `message`: why it hibernates, in the agent's words."""

    title: str | None
    message: str | None
    hibernate_until_at: datetime | None
