"""The dataclasses of retention."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agentcontainer.settings import Settings

Kind = Literal[
    "events", "tasks", "files", "partial_outputs", "feed", "idempotency", "audit", "webhook_deliveries", "usage"
]  # fmt: skip


@dataclass(frozen=True)
class Position:
    """A row in an order by time and id: the last one that a purge has looked at."""

    at: datetime
    id: str


@dataclass(frozen=True)
class Amount:
    """What a purge removes of one kind: how many rows, and their bytes in the database and the object store."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.rows + other.rows, self.bytes + other.bytes)


@dataclass(frozen=True)
class UnusedFile:
    """A file that may be deleted."""

    id: str
    blob_key: str
    size_bytes: int


def retention(settings: Settings) -> Mapping[Kind, timedelta]:
    """How long each kind of data is kept. A kind that is kept for ever is missing."""
    days: dict[Kind, int] = {
        "events": settings.retention_events_days,
        "tasks": settings.retention_tasks_days,
        "files": settings.retention_files_days,
        "partial_outputs": settings.retention_partial_outputs_days,
        "feed": settings.retention_feed_days,
        "idempotency": settings.retention_idempotency_days,
        "audit": settings.retention_audit_days,
        "webhook_deliveries": settings.retention_webhook_deliveries_days,
        "usage": settings.retention_usage_days,
    }
    return {kind: timedelta(days=value) for kind, value in days.items() if value}
