"""The feed: what happens to all tasks of the account."""

# Written by scripts/render_sync.py from _async. Do not edit.

from dataclasses import dataclass, field

from agentcontainer_client import models
from agentcontainer_client._calls import operation, query_of
from agentcontainer_client._sync.ends import feed_of
from agentcontainer_client._sync.following import Stream
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True)
class Feed:
    """`client.feed`: dispatches, starts, ends, hibernations and turns of all tasks, in one order."""

    transport: Transport = field(repr=False)

    def stream(self, *, after: int = 0, timeout: float | None = None) -> Stream[models.FeedEntry]:
        """The entries after the position `after`, each exactly once, and new ones as they come, without end.

        `timeout`: seconds after which the stream ends. Store `entry.position` to go on later.
        """
        return Stream(feed_of(self.transport), after=after, timeout=timeout)

    @operation(
        "listFeed", wait="stream()", stream="stream()", apiKey="stream()", **{"Last-Event-ID": "stream()"}
    )
    def list(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> Pager[models.FeedEntry]:
        """The entries so far, the oldest first."""
        return Pager(
            self.transport,
            "/events",
            models.FeedEntry.from_wire,
            query=query_of(after=after),
            limit=limit,
            cursor=cursor,
            order=order,
            max_page=1000,
        )
