"""Lists an account's tasks by filters, at the same cost for a page however many tasks there are.

A page reads the tasks in the order of the list, by a B-tree index, and checks the other conditions row by row. It reads
at most `MAX_ROWS_READ` tasks, and then ends early with a cursor to go on from.

A search (by metadata, or by words of the title) begins so too, but soon asks the GIN index for all matches, which may
be few and old. If these are more than `MAX_MATCHES`, the page goes on in the order of the list: so many matches are
seldom far apart. The index is not asked for words that many tasks have, because it reads all tasks of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Page, Pool
from agentcontainer.domain.tasks.list_query import (
    TITLE,
    Cursor,
    ListQuery,
    is_by_completion,
    query_of,
)
from agentcontainer.domain.tasks.model import Task, TaskFilter
from agentcontainer.domain.tasks.store import COLUMNS, INPUT_FILES, JOINS, task_of

MAX_ROWS_READ = 10_000
MAX_MATCHES = 1000
ROWS_BEFORE_SEARCH = 10  # for each task of a full page
COMMON = 0.1  # a word is common if this part of the tasks has it

# A materialized part of a query is planned as if all its rows were read, which takes the index, but stops at the limit.
_MATCHES = """
WITH match AS MATERIALIZED (SELECT * FROM tasks t WHERE {searched}),
    first AS MATERIALIZED (SELECT * FROM match LIMIT {max_matches} + 1)
SELECT (SELECT count(*) FROM first) AS count,
    ARRAY(SELECT id FROM first t WHERE {others} ORDER BY {order} LIMIT {limit} + 1) AS ids
"""
_COUNT_WORDS = (
    "SELECT {counts} FROM (SELECT * FROM tasks t WHERE {driving} ORDER BY {order} LIMIT {rows}) AS t"
)
_END = (
    "SELECT id, completed_at FROM tasks t WHERE {driving} ORDER BY {order} OFFSET {max_rows_read} - 1 LIMIT 2"
)


@dataclass(frozen=True)
class TaskPage(Page[Task]):
    """A page of tasks, and the cursor of the next one."""

    next_cursor: Cursor | None


async def list_page(
    pool: Pool,
    account_id: str,
    task_filter: TaskFilter,
    *,
    after: Cursor | None,
    limit: int,
    is_descending: bool,
    max_rows_read: int = MAX_ROWS_READ,
    max_matches: int = MAX_MATCHES,
) -> TaskPage:
    """The account's tasks by id, which is roughly the order of their creation, or by the time of completion if that is
    filtered; from `after` on.

    Ids are made by the hosts' clocks, before the commit: one that is committed later may have a lower id.
    """
    query = query_of(account_id, task_filter, after, is_descending=is_descending)
    reader = _Reader(pool, task_filter, limit, is_descending=is_descending)
    if not query.searched:
        return await reader.walk(query, max_rows_read)
    first_rows = min(max_rows_read, ROWS_BEFORE_SEARCH * limit)
    page = await reader.walk(query, first_rows)
    if len(page.rows) == limit or not page.has_more:
        return page
    task_ids = await reader.find_matches(query, max_matches, sample_rows=first_rows)
    if task_ids is None:
        return page if first_rows == max_rows_read else await reader.walk(query, max_rows_read)
    return await reader.by_ids(task_ids)


class _Reader:
    """Reads one page of a list."""

    def __init__(self, pool: Pool, task_filter: TaskFilter, limit: int, *, is_descending: bool) -> None:
        self._pool = pool
        self._limit = limit
        self._is_by_completion = is_by_completion(task_filter)
        direction = "DESC" if is_descending else "ASC"
        self._order = (
            f"completed_at {direction}, id {direction}" if self._is_by_completion else f"id {direction}"
        )
        self._columns = COLUMNS
        if task_filter.is_summary:
            self._columns = COLUMNS.replace("t.instructions", "'' AS instructions").replace(
                INPUT_FILES, "'[]'::jsonb AS input_files"
            )

    async def walk(self, query: ListQuery, max_rows_read: int) -> TaskPage:
        """Of the next `max_rows_read` tasks in the order of the list, those that match."""
        source = query.source(self._order, self._limit, max_rows_read)
        page = await self._fetch(source, query.arguments)
        if page.has_more or not query.not_driving:
            return page
        statement = _END.format(
            driving=" AND ".join(query.driving), order=self._order, max_rows_read=max_rows_read
        )
        ends = await self._pool.fetch(statement, *query.arguments[: query.driving_arguments])
        if len(ends) < 2:
            return TaskPage(page.rows, False, None)
        return TaskPage(page.rows, True, self._cursor(ends[0]["id"], ends[0]["completed_at"]))

    async def find_matches(
        self, query: ListQuery, max_matches: int, *, sample_rows: int
    ) -> Sequence[str] | None:
        """Ids of the page's tasks, and of the next one, in any order. None: too many tasks match what the index is
        asked for."""
        common = await self._common_words(query, sample_rows)
        searched = [*query.searched, *(query.words[word] for word in query.words if word not in common)]
        others = [*query.driving, *query.checked, *(query.words[word] for word in common)]
        statement = _MATCHES.format(
            searched=" AND ".join(searched), others=" AND ".join(others),
            order=self._order, limit=self._limit, max_matches=max_matches,
        )  # fmt: skip
        row = await self._pool.fetchrow(statement, *query.arguments)
        assert row is not None
        return None if row["count"] > max_matches else row["ids"]

    async def _common_words(self, query: ListQuery, sample_rows: int) -> Sequence[str]:
        """Words that many of the next tasks have. None, if all are so frequent: together they may be rare."""
        words = list(query.words)
        if len(words) < 2:
            return []
        first = query.driving_arguments + 1
        counts = [
            f"count(*) FILTER (WHERE {TITLE} @@ to_tsquery('simple', ${first + n}))"
            for n in range(len(words))
        ]
        statement = _COUNT_WORDS.format(
            counts=", ".join([*counts, "count(*)"]), driving=" AND ".join(query.driving), order=self._order,
            rows=sample_rows,
        )  # fmt: skip
        row = await self._pool.fetchrow(statement, *query.arguments[: query.driving_arguments], *words)
        assert row is not None
        common = [word for word, count in zip(words, row, strict=False) if count > COMMON * row[len(words)]]
        return [] if len(common) == len(words) else common

    async def by_ids(self, task_ids: Sequence[str]) -> TaskPage:
        """The page of these tasks; there may be one more than it has room for."""
        return await self._fetch(f"tasks t {JOINS} WHERE t.id = ANY($1::text[])", [task_ids])

    async def _fetch(self, source: str, arguments: Sequence[object]) -> TaskPage:
        page = await db.fetch_page(
            self._pool, f"SELECT {self._columns} FROM {source}", *arguments,
            order=self._order, limit=self._limit, of=task_of,
        )  # fmt: skip
        if not page.has_more:
            return TaskPage(page.rows, False, None)
        return TaskPage(page.rows, True, self._cursor(page.rows[-1].id, page.rows[-1].completed_at))

    def _cursor(self, task_id: str, completed_at: datetime | None) -> Cursor:
        return Cursor(task_id, completed_at if self._is_by_completion else None)
