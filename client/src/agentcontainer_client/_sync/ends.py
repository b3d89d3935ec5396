"""Finds out when tasks end: one request at a time follows the account's feed, however many tasks there are."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Iterator, Sequence
from typing import Any

from agentcontainer_client import errors, models
from agentcontainer_client._calls import Call, segment
from agentcontainer_client._events import TERMINAL
from agentcontainer_client._follow import Deadline, Progress
from agentcontainer_client._sync.following import Log
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport

FEW = 10
ENDED = frozenset({"finished", "failed", "cancelled", "expired"})


def ends_of(transport: Transport, task_ids: Sequence[str], timeout: float | None) -> Iterator[list[str]]:
    """The ids of the tasks, in groups, as they end.

    Raises:
        WaitTimedOut: the time has passed and a task has not ended.
    """
    deadline = Deadline(timeout)
    waiting = dict.fromkeys(task_ids)
    while waiting:
        after = _end_of_feed(transport)  # read before the statuses, so that no end falls between
        if ended := [task_id for task_id in _ended(transport, list(waiting)) if task_id in waiting]:
            for task_id in ended:
                del waiting[task_id]
            yield ended
        if not waiting:
            return
        try:
            for entry in feed_of(transport).poll(Progress(after), deadline):
                if entry.type in TERMINAL and entry.task_id in waiting:
                    del waiting[entry.task_id]
                    yield [entry.task_id]
                if not waiting:
                    return
        except errors.Gone:  # the entries were removed before they were read: look at the statuses again
            continue
        if waiting:
            raise errors.WaitTimedOut(next(iter(waiting)), timeout or 0)


def feed_of(transport: Transport) -> Log[models.FeedEntry]:
    """The account's feed."""
    return Log(
        transport=transport,
        path="/events",
        decode=models.FeedEntry.from_wire,
        number=lambda entry: entry.position,
        is_last=lambda _: False,
    )


def _end_of_feed(transport: Transport) -> int:
    last = Pager(transport, "/events", models.FeedEntry.from_wire, limit=1, order="desc").first()
    return last.position if last is not None else 0


def _ended(transport: Transport, task_ids: list[str]) -> list[str]:
    """Those of the tasks that have ended. A few are read by their ids, many from the list of tasks.

    Raises:
        NotFound: there is no such task.
    """
    statuses: dict[str, str] = {}
    if len(task_ids) > FEW:
        oldest = min(task_ids)  # ids sort by creation time
        for task in Pager(transport, "/tasks", _as_sent, query={"fields": "summary"}):
            if task["id"] < oldest:
                break
            statuses[task["id"]] = task["status"]
    for task_id in task_ids:
        if task_id not in statuses:
            call = Call(method="GET", path=f"/tasks/{segment(task_id)}")
            statuses[task_id] = (transport.send(call, _as_sent))["status"]
    return [task_id for task_id in task_ids if statuses[task_id] in ENDED]


def _as_sent(content: Any) -> dict[str, Any]:
    return content
