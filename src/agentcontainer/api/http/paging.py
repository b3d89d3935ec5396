"""Parses `limit`, `cursor` and `order`.

A cursor names a row, so that inserts never repeat or hide rows.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http.query import from_digits
from agentcontainer.api.wire import Incoming, Outgoing
from agentcontainer.db import Page
from agentcontainer.errors import ValidationError

MAX_CURSOR_CHARACTERS = 256
Order = TypeAliasType("Order", Literal["asc", "desc"])
T = TypeVar("T")


class PageQuery(Incoming):
    """The query parameters of every list."""

    limit: Annotated[
        int,
        Field(ge=1, le=100, description="Entries of a page. It may have fewer if they are large."),
        from_digits,
    ] = 20
    cursor: Annotated[str | None, Field(description="`pageInfo.nextCursor` of the previous page.")] = None
    order: Annotated[Order, Field(description="By creation, oldest (`asc`) or newest (`desc`) first.")] = (
        "desc"
    )


class TranscriptQuery(PageQuery):
    """The query parameters of a list that is read like a log: oldest first by default."""

    order: Annotated[Order, Field(description="Oldest (`asc`) or newest (`desc`) first.")] = "asc"


class PageInfo(Outgoing):
    """Whether the list goes on, and the cursor of the next page."""

    has_more: bool
    next_cursor: str | None


def position(name: str, query: PageQuery) -> str | None:
    """The position after which the page of the list `name` starts; None: at the beginning.

    Raises:
        ValidationError: the cursor belongs to no list, or to another.
    """
    if query.cursor is None:
        return None
    padding = "=" * (-len(query.cursor) % 4)
    try:
        encoded = query.cursor[:MAX_CURSOR_CHARACTERS] + padding
        decoded = base64.b64decode(encoded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise not_a_cursor() from None
    cursor_name, _, row_position = decoded.partition(":")
    if cursor_name != name or not row_position.isascii() or not row_position.replace("_", "").isalnum():
        raise not_a_cursor()
    return row_position


def sequence(name: str, query: PageQuery) -> int | None:
    """`position` in a list that is ordered by a number."""
    row_position = position(name, query)
    if row_position is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", row_position):
        raise not_a_cursor()
    return int(row_position)


def page_info(name: str, page: Page[T], key: Callable[[T], str]) -> PageInfo:
    """The cursor after this page of the list `name`; `key` returns a row's position."""
    return info_of(name, key(page.rows[-1]) if page.has_more else None)


def info_of(name: str, row_position: str | None) -> PageInfo:
    """The cursor of the list `name` after this position. None: the list ends."""
    if row_position is None:
        return PageInfo(has_more=False, next_cursor=None)
    cursor = base64.urlsafe_b64encode(f"{name}:{row_position}".encode()).decode().rstrip("=")
    return PageInfo(has_more=True, next_cursor=cursor)


def not_a_cursor() -> ValidationError:
    """The error for a cursor that belongs to no list, or to another."""
    return ValidationError.at("cursor", "is not a cursor of this list; take it from pageInfo.nextCursor")
