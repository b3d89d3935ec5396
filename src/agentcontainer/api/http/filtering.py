"""Pages of lists, without the rows that a filter or the agents of a key leave out."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from agentcontainer.api.http import paging
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.db import Page
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.visible import filtered_page

T = TypeVar("T")


class Read(Protocol[T]):
    """Reads the rows of a list after a position."""

    async def __call__(self, *, after_id: str | None, limit: int) -> Page[T]:
        """A page of at most `limit` rows."""
        ...


async def page(
    caller: Principal,
    query: PageQuery,
    name: str,
    read: Read[T],
    position_of: Callable[[T], str],
    choose: Callable[[Sequence[T]], Awaitable[Sequence[T]]],
    *,
    is_filtered: bool = False,
) -> tuple[Sequence[T], PageInfo]:
    """The page of the list `name`. `choose` leaves what exists for a caller who is bound to agents.

    With `is_filtered` it also leaves out rows for every other caller.
    """
    after = paging.position(name, query)
    if caller.agent_ids is None and not is_filtered:
        whole = await read(after_id=after, limit=query.limit)
        return whole.rows, paging.page_info(name, whole, position_of)

    async def read_rows(position: str | None, limit: int) -> Page[T]:
        return await read(after_id=position, limit=limit)

    filtered = await filtered_page(read_rows, choose, position_of, after=after, limit=query.limit)
    return filtered.rows, paging.info_of(name, filtered.position)
