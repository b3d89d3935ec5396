"""The logs that streams follow: the events of a task, and the feed of an account.

The id of a log is that of its task or account.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from agentcontainer.api import events, feed_entries
from agentcontainer.api.sse_frames import entry_frame
from agentcontainer.db import Pool
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.tasks import new_events
from agentcontainer.domain.tasks.events import Event
from agentcontainer.domain.tasks.state import TERMINAL

_ACCOUNT_PREFIX = "acc_"
_LAST_TYPES = frozenset(f"task.{status}" for status in TERMINAL)


@dataclass(frozen=True)
class Log:
    """A log, and the number of its last entry when it was looked up."""

    id: str
    account_id: str
    end: int
    agent_ids: Set[str] | None = None
    """Of a feed: only entries of these agents are shown. None: all."""

    def shows(self, entry: "LogEntry") -> bool:
        """Whether followers get the entry."""
        return self.agent_ids is None or entry.agent_id in self.agent_ids

    @property
    def has_deltas(self) -> bool:
        """Whether its streams show live text."""
        return not self.id.startswith(_ACCOUNT_PREFIX)


@dataclass(frozen=True)
class LogEntry:
    """An entry of a log as the frame that all its followers get. `is_last`: no other can follow."""

    log_id: str
    number: int
    type: str
    frame: bytes
    is_last: bool = False
    agent_id: str | None = None
    """Of an entry of a feed."""

    @classmethod
    def of_event(cls, event: Event) -> "LogEntry":
        """An event of a task."""
        frame = entry_frame(event.sequence, event.type, events.Event.of(event))
        return cls(event.task_id, event.sequence, event.type, frame, event.type in _LAST_TYPES)

    @classmethod
    def of_feed(cls, account_id: str, entry: FeedEntry) -> "LogEntry":
        """An entry of an account's feed, which never ends."""
        frame = entry_frame(entry.position, entry.type, feed_entries.FeedEntry.of(entry))
        return cls(account_id, entry.position, entry.type, frame, agent_id=entry.agent_id)


async def find_behind(pool: Pool, positions: Mapping[str, int]) -> list[str]:
    """Of the logs in `positions` (log id → number), those with entries after that number."""
    of_tasks, of_feeds = _split(positions)
    found = await new_events.find_tasks(pool, of_tasks) if of_tasks else []
    return found + (await feed.find_feeds(pool, of_feeds) if of_feeds else [])


async def read(pool: Pool, positions: Mapping[str, int]) -> list[tuple[LogEntry, int]]:
    """The next page of entries of each log in `positions` (log id → number), in order. With each entry comes the number
    of the last one of its log."""
    of_tasks, of_feeds = _split(positions)
    page: list[tuple[LogEntry, int]] = []
    if of_tasks:
        page += [(LogEntry.of_event(event), end) for event, end in await new_events.read(pool, of_tasks)]
    if of_feeds:
        page += [(LogEntry.of_feed(id_, entry), end) for id_, entry, end in await feed.read(pool, of_feeds)]
    return page


def _split(positions: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    of_feeds = {id_: number for id_, number in positions.items() if id_.startswith(_ACCOUNT_PREFIX)}
    return {id_: number for id_, number in positions.items() if id_ not in of_feeds}, of_feeds
