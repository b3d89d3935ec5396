"""Lists of the API, whose pages are fetched while they are iterated."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from agentcontainer_client._calls import Call, query_of
from agentcontainer_client._sync.transport import Transport
from agentcontainer_client._wire import Malformed, each

T = TypeVar("T")

MAX_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A page of a list."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class Pager(Generic[T]):
    """A list of the API. Iterating it fetches page after page, so that nothing is repeated or skipped."""

    def __init__(
        self,
        transport: Transport,
        path: str,
        decode: Callable[[object], T],
        *,
        query: Mapping[str, object] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: str | None = None,
        max_page: int = MAX_PAGE,
    ) -> None:
        self._transport = transport
        self._path = path
        self._decode = decode
        self._query = dict(query or {}) | query_of(order=order)
        self._limit = limit
        self._cursor = cursor
        self._max_page = max_page

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            for item in page.data:
                yield item

    def pages(self) -> Iterator[Page[T]]:
        """The pages, one request each."""
        cursor, rest = self._cursor, self._limit
        while rest is None or rest > 0:
            size = self._max_page if rest is None else min(self._max_page, rest)
            query = self._query | query_of(limit=size, cursor=cursor)
            page = self._transport.send(Call(method="GET", path=self._path, query=query), self._page)
            yield page
            if not page.has_more or page.next_cursor is None:
                return
            cursor = page.next_cursor
            rest = None if rest is None else rest - len(page.data)

    def to_list(self) -> list[T]:
        """All items, in memory."""
        return [item for item in self]

    def first(self) -> T | None:
        """The first item; None: the list is empty."""
        for item in Pager(
            self._transport, self._path, self._decode, query=self._query, limit=1, cursor=self._cursor
        ):
            return item
        return None

    def _page(self, content: object) -> Page[T]:
        wire = _PageWire.of(content)
        return Page(data=each(self._decode)(wire.data), has_more=wire.has_more, next_cursor=wire.next_cursor)


@dataclass(frozen=True)
class _PageWire:
    data: object
    has_more: bool = False
    next_cursor: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, content: Any) -> "_PageWire":
        try:
            info = content["pageInfo"]
            return cls(content["data"], info["hasMore"], info["nextCursor"])
        except (TypeError, KeyError):
            raise Malformed("not a page") from None
