"""The dataclasses of wake links."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

WakeKind = Literal["message", "external_wake", "deadline", "link", "provider"]


@dataclass(frozen=True)
class NewWakeLink:
    """A link about to be inserted, for the next hibernation of the attempt's task."""

    id: str
    task_id: str
    attempt: int
    expires_at: datetime


@dataclass(frozen=True)
class StoredWakeLink:
    """A row of `wake_links`. `hibernation_number` is the one hibernation that it ends."""

    id: str
    task_id: str
    hibernation_number: int
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class WakeLink:
    """What the holder of a link may see of its task. `message`: why it hibernates, in the agent's words."""

    title: str | None
    message: str | None
    hibernate_until_at: datetime | None
