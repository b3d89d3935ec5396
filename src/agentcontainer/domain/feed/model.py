"""What the account's feed holds: its entries, the types of events in it, and what their data says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentcontainer.db import Record

_TURN = ("turnNumber", "attemptNumber", "messageId")
# The types of events in the feed, and which fields of the event its entry has beside those of every entry. Texts of
# agents and users are left out: `data` is sent to webhooks, and must stay below 20 kB.
EVENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "task.created": (),
    "task.started": ("attempt",),
    "task.titled": (),
    "task.requeued": (),
    "task.hibernated": ("hibernateUntilAt", "hibernationReason", "hasWakeLink"),
    "task.woken": ("kind",),
    "task.awaiting_input": ("expiresAt",),
    "budget.warning": ("percent", "usedUsd", "usedTokens"),
    "budget.reached": ("usedUsd", "usedTokens", "onReached"),
    "task.finished": (),
    "task.failed": (),
    "task.cancelled": (),
    "task.expired": (),
    "turn.started": _TURN,
    "turn.completed": _TURN,
    "turn.failed": _TURN[:2],
    "balance.low": ("balanceUsd", "lowBalanceUsd"),
    "webhook.disabled": ("webhookId", "webhookUrl", "disabledReason"),
}
# SQL: the fields of every entry but `position` and `url`, which come with its number, from the rows `task` and `event`.
SUMMARY = """
jsonb_build_object('taskId', task.id, 'sequence', event.sequence, 'agentId', task.agent_id, 'mode', task.mode,
    'status', task.status, 'title', task.title, 'metadata', task.metadata, 'completion', task.completion,
    'errorCode', task.error_code,
    'costUsd', CASE WHEN task.completed_at IS NOT NULL THEN trim_scale(task.cost_micro_usd / 1000000.0) END)
"""
# Where the event has them, they replace those of the task, whose row may be written after the event.
_REPLACED = ("status", "errorCode")


@dataclass(frozen=True)
class FeedEntry:
    """An event of an account. `data` is empty once the task is deleted."""

    position: int
    id: str
    type: str
    task_id: str | None
    created_at: datetime
    data: Mapping[str, Any]

    @property
    def agent_id(self) -> str | None:
        """The agent of its task. None: it is of no task, or the task was deleted."""
        return self.data.get("agentId")

    @classmethod
    def of(cls, row: Record) -> "FeedEntry":
        return cls(row["position"], row["id"], row["type"], row["task_id"], row["created_at"], row["data"])


@dataclass(frozen=True)
class FeedBounds:
    """The positions of an account's oldest and last entry. `oldest` is `last` + 1 if there are no entries."""

    oldest: int
    last: int


def fields_of(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry of an event takes from the event's data."""
    names = (*_REPLACED, *EVENT_FIELDS[event_type])
    return {name: data[name] for name in names if name in data}
