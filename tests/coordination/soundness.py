"""Invariants of an ended task that hold after every injected failure."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.state import TERMINAL
from tests.coordination.bed import Bed


@dataclass(frozen=True)
class Outcome:
    """An ended task as its client sees it."""

    task: Task
    log: list[tuple[str, dict[str, Any]]]
    outputs: dict[str, bytes]

    def of(self, type_: str) -> list[dict[str, Any]]:
        """The data of the events of one type."""
        return [data for logged, data in self.log if logged == type_]

    def count(self, type_: str) -> int:
        return len(self.of(type_))

    @property
    def attempts(self) -> list[int]:
        """The attempts whose container started."""
        return [data["attempt"] for data in self.of("task.started")]


async def sound_outcome(bed: Bed, task_id: str) -> Outcome:
    """The outcome of an ended task, after checking the invariants that hold under every failure."""
    await bed.until_no_sandbox(task_id)
    outcome = Outcome(await bed.task(task_id), await _log(bed, task_id), await _outputs(bed, task_id))
    assert outcome.task.status in TERMINAL
    assert await events.gaps(bed.pool) == []
    _check_each_event_happened_once(outcome)
    await _check_money(bed, outcome)
    return outcome


def _check_each_event_happened_once(outcome: Outcome) -> None:
    keys = {
        "task.created": (), "task.claimed": ("attempt",), "task.started": ("attempt",),
        "turn.started": ("turnNumber", "attemptNumber"),
        "turn.completed": ("turnNumber",), "message.created": ("id",), "message.delivered": ("messageId",),
        "tool.started": ("activityId",), "file.shared": ("id",), "task.awaiting_input": ("expiresAt",),
        "task.checkpointed": ("sizeBytes", "pausedMs"), "task.hibernated": ("hibernateUntilAt",),
        "task.finished": (), "task.failed": (), "task.cancelled": (),
    }  # fmt: skip
    counts = Counter(
        (type_, *(data[name] for name in keys[type_])) for type_, data in outcome.log if type_ in keys
    )
    assert not [key for key, count in counts.items() if count > 1], outcome.log
    assert [type_ for type_, _ in outcome.log][-1] == f"task.{outcome.task.status}"


async def _check_money(bed: Bed, outcome: Outcome) -> None:
    assert await ledger.unbalanced(bed.pool) == []
    assert await ledger.unreleased_holds(bed.pool) == []
    page = await ledger.list_page(bed.pool, bed.account_id, after_id=None, limit=100, is_descending=False)
    entries = [entry for entry in page.rows if entry.task_id == outcome.task.id]
    kinds = Counter(entry.kind for entry in entries)
    assert kinds["hold"] == kinds["release"] == 1, kinds
    assert kinds["charge"] <= 1, kinds
    assert sum(entry.amount_micro_usd for entry in entries) == -outcome.task.cost_micro_usd


async def _log(bed: Bed, task_id: str) -> list[tuple[str, dict[str, Any]]]:
    page = await events.list_page(bed.pool, task_id, limit=1000)
    assert [event.sequence for event in page.rows] == list(range(1, len(page.rows) + 1))
    assert len({event.id for event in page.rows}) == len(page.rows)
    return [(event.type, event.data) for event in page.rows]


async def _outputs(bed: Bed, task_id: str) -> dict[str, bytes]:
    rows = await bed.pool.fetch("SELECT filename, blob_key FROM files WHERE task_id = $1", task_id)
    names = [row["filename"] for row in rows]
    assert len(set(names)) == len(names), f"duplicate outputs: {names}"
    return {
        row["filename"]: b"".join([chunk async for chunk in bed.blobs.stream(row["blob_key"])])
        for row in rows
    }
