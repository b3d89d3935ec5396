"""The route of the account's feed: as a list, which can wait for the next entry, or as an event stream."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.feed_entries import FeedEntry
from agentcontainer.api.http import logs, paging
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import AccountId, asks_for_stream
from agentcontainer.api.http.logs import LogQuery
from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.logs import Log
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.feed import store as feed
from agentcontainer.errors import Gone

router = authenticated("Events")


class FeedPage(Outgoing):
    """A page of the account's feed."""

    data: list[FeedEntry]
    page_info: PageInfo


class FeedQuery(LogQuery):
    """Which entries to send, and how."""

    after: Annotated[
        int | None,
        Field(
            ge=0,
            lt=10**18,
            description="Only entries with a greater position. Without it: from the oldest entry that is kept.",
        ),
        from_digits,
    ] = None


@logs.log_route(router, "/events", FeedPage, entry="FeedEntry", number="position", statuses={410: {}})
@access(Level.READS, Agents.FILTERED)
async def list_feed(
    request: Request, account_id: AccountId, services: Provided, query: Annotated[FeedQuery, Query()]
) -> FeedPage | Response:
    """List or follow the events of all tasks of the account, in short.

    410 if entries after `after` were removed by retention.
    """
    bounds = await feed.bounds(services.pool, account_id)
    log = Log(account_id, account_id, bounds.last)
    position = logs.position_of(request, query, query.after, log.end, "the feed")
    before = logs.cursor_of("feed", query)
    if query.order == "asc" and before is not None:
        position, before = max(position or 0, before), None
    if position is None:
        position = bounds.oldest - 1
    elif position + 1 < bounds.oldest:
        raise _gone(bounds.oldest)
    if asks_for_stream(request):
        return logs.stream(request, services, log, position)

    async def page() -> FeedPage:
        return await _page(services, query, account_id, position, before)

    return await logs.page_or_wait(request, services, query, log, position, page)


async def _page(
    services: Services, query: FeedQuery, account_id: str, after: int, before: int | None
) -> FeedPage:
    page = await feed.list_page(
        services.pool, account_id, after=after, before=before, limit=query.limit, is_descending=query.order == "desc"
    )  # fmt: skip
    # Entries may be removed while this request runs.
    if page.rows and query.order == "asc" and page.rows[0].position != after + 1:
        raise _gone(page.rows[0].position)
    info = paging.page_info(f"feed-{query.order}", page, lambda entry: str(entry.position))
    return FeedPage(data=[FeedEntry.of(entry) for entry in page.rows], page_info=info)


def _gone(oldest: int) -> Gone:
    return Gone(
        f"Entries that you have not read were removed, because they were too old. The oldest one now has position "
        f"{oldest}: continue with after={oldest - 1}, and read the tasks themselves for what happened before."
    )
