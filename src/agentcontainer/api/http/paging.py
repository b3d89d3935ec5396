"""Lists: `limit`, opaque `cursor`, `order`; keyset, so that inserts neither repeat nor hide rows."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from agentcontainer.api.http.query import from_digits
from agentcontainer.api.wire import Incoming, Outgoing
from agentcontainer.db import Page
from agentcontainer.errors import ValidationError

MAX_CURSOR_CHARACTERS = 256
Order = Literal["asc", "desc"]
T = TypeVar("T")


class PageQuery(Incoming):
    """What every list takes."""

    limit: Annotated[
        int,
        Field(ge=1, le=100, description="Entries of one page; it may have fewer when they are large."),
        from_digits,
    ] = 20
    cursor: Annotated[str | None, Field(description="`pageInfo.nextCursor` of the page before.")] = None
    order: Annotated[Order, Field(description="By creation: oldest or newest first.")] = "desc"


class PageInfo(Outgoing):
    """Whether there is more, and the cursor that leads there."""

    has_more: bool
    next_cursor: str | None


def position(name: str, query: PageQuery) -> str | None:
    """Where the page starts: after this position; None: at the beginning.

    Raises:
        ValidationError: the cursor is not one of the list `name`.
    """
    if query.cursor is None:
        return None
    try:
        padding = "=" * (-len(query.cursor) % 4)
        spelt = base64.b64decode(
            query.cursor[:MAX_CURSOR_CHARACTERS] + padding, altchars=b"-_", validate=True
        ).decode()
    except (ValueError, binascii.Error):
        spelt = ""
    kind, _, found = spelt.partition(":")
    if kind != name or not found.isascii() or not found.replace("_", "").isalnum():
        raise _not_a_cursor()
    return found


def sequence(name: str, query: PageQuery) -> int | None:
    """`position` of a list that is ordered by a number."""
    found = position(name, query)
    if found is None or re.fullmatch(r"[0-9]{1,18}", found):
        return None if found is None else int(found)
    raise _not_a_cursor()


def page_info(name: str, page: Page[T], key: Callable[[T], str]) -> PageInfo:
    """Where the list `name` goes on after this page; `key` is a row's position."""
    if not page.has_more:
        return PageInfo(has_more=False, next_cursor=None)
    cursor = base64.urlsafe_b64encode(f"{name}:{key(page.rows[-1])}".encode()).decode().rstrip("=")
    return PageInfo(has_more=True, next_cursor=cursor)


def _not_a_cursor() -> ValidationError:
    return ValidationError.at("cursor", "is not a cursor of this list; take it from pageInfo.nextCursor")
