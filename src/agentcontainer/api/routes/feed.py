"""The route of the account's feed: as a list, which can wait for the next entry, or as an event stream."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.feed_entries import FeedEntry
from agentcontainer.api.http import logs, paging
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import Caller, asks_for_stream
from agentcontainer.api.http.logs import LogQuery
from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.logs import Log
from agentcontainer.api.wire import Outgoing
from agentcontainer.db import Page
from agentcontainer.domain.accounts.visible import filtered_page
from agentcontainer.domain.feed import model
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
    request: Request, caller: Caller, services: Provided, query: Annotated[FeedQuery, Query()]
) -> FeedPage | Response:
    """List or follow the events of all tasks of the account, in short.

    410 if entries after `after` were removed by retention. A key that is bound to agents gets the events of their
    tasks, so that positions have gaps.
    """
    account_id = caller.account_id
    bounds = await feed.bounds(services.pool, account_id)
    log = Log(account_id, account_id, bounds.last, caller.agent_ids)
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
        return await _page(services, query, caller, position, before)

    return await logs.page_or_wait(request, services, query, log, position, page)


async def _page(
    services: Services, query: FeedQuery, caller: Caller, after: int, before: int | None
) -> FeedPage:
    name, is_descending = f"feed-{query.order}", query.order == "desc"

    async def read(position: str | None, limit: int) -> Page[model.FeedEntry]:
        begin = after if is_descending or position is None else int(position)
        end = int(position) if is_descending and position is not None else before
        page = await feed.list_page(
            services.pool,
            caller.account_id,
            after=begin,
            before=end,
            limit=limit,
            is_descending=is_descending,
        )
        # Entries may be removed while this request runs.
        if page.rows and not is_descending and page.rows[0].position != begin + 1:
            raise _gone(page.rows[0].position)
        return page

    async def choose(entries: Sequence[model.FeedEntry]) -> Sequence[model.FeedEntry]:
        return [
            entry for entry in entries if entry.agent_id is not None and caller.sees_agent(entry.agent_id)
        ]

    if caller.agent_ids is None:
        page = await read(None, query.limit)
        info = paging.page_info(name, page, lambda entry: str(entry.position))
    else:
        page = await filtered_page(
            read, choose, lambda entry: str(entry.position), after=None, limit=query.limit
        )
        info = paging.info_of(name, page.position)
    return FeedPage(data=[FeedEntry.of(entry) for entry in page.rows], page_info=info)


def _gone(oldest: int) -> Gone:
    return Gone(
        f"Entries that you have not read were removed, because they were too old. The oldest one now has position "
        f"{oldest}: continue with after={oldest - 1}, and read the tasks themselves for what happened before."
    )
