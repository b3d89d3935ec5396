"""The feed: what happens to all tasks of the account."""

from dataclasses import dataclass, field

from agentcontainer_client import models
from agentcontainer_client._async.ends import feed_of
from agentcontainer_client._async.following import AsyncStream
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import operation, query_of


@dataclass(frozen=True)
class AsyncFeed:
    """`client.feed`: dispatches, starts, ends, hibernations and turns of all tasks, in one order."""

    transport: AsyncTransport = field(repr=False)

    def stream(self, *, after: int = 0, timeout: float | None = None) -> AsyncStream[models.FeedEntry]:
        """The entries after the position `after`, each exactly once, and new ones as they come, without end.

        `timeout`: seconds after which the stream ends. Store `entry.position` to go on later.
        """
        return AsyncStream(feed_of(self.transport), after=after, timeout=timeout)

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
    ) -> AsyncPager[models.FeedEntry]:
        """The entries so far, the oldest first."""
        return AsyncPager(
            self.transport,
            "/events",
            models.FeedEntry.from_wire,
            query=query_of(after=after),
            limit=limit,
            cursor=cursor,
            order=order,
            max_page=1000,
        )
