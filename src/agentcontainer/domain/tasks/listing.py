"""Lists an account's tasks by filters, each of which has an index.

One filter drives: its index gives the tasks in the order of the list. The others are checked row by row, for at most
`MAX_ROWS_READ` rows, and then the page ends early with a cursor to go on from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agentcontainer import db
from agentcontainer.db import Page, Pool
from agentcontainer.domain.tasks.model import Task, TaskFilter
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.domain.tasks.store import COLUMNS, JOINS, task_of
from agentcontainer.ids import bounds

MAX_ROWS_READ = 10_000
# Ids carry the time of the host that made them, which may differ from the database's, whose time is `created_at`.
CLOCKS_DIFFER = timedelta(minutes=1)
_BEGINNING_OF_ID = re.compile(r"tsk_[0-9a-z]{0,26}")
_WORD = re.compile(r"\w+")
# As in the index `tasks_title`. The account's id is a lexeme, which no word begins like, so that the index finds tasks
# of the account only.
_TITLE = "(array_to_tsvector(ARRAY['@' || t.account_id]) || to_tsvector('simple', coalesce(t.title, '')))"


@dataclass(frozen=True)
class Cursor:
    """The task after which a page starts. `completed_at`: in a list that is ordered by it."""

    id: str
    completed_at: datetime | None = None


@dataclass(frozen=True)
class TaskPage(Page[Task]):
    """A page of tasks, and the cursor of the next one."""

    next_cursor: Cursor | None


@dataclass
class _Query:
    """The conditions of a list with their arguments: those that an index answers, and those checked row by row."""

    arguments: list[Any] = field(default_factory=list[Any])
    driving: list[str] = field(default_factory=list[str])
    checked: list[str] = field(default_factory=list[str])
    driving_arguments: int = 0
    max_rows_read: int = MAX_ROWS_READ
    statuses: Sequence[Status] = ()
    """If there are several: the task has one of them. Nothing is checked then."""

    def drive(self, condition: str, *values: Any) -> None:
        self.driving.append(condition.format(*(self._parameter(value) for value in values)))
        self.driving_arguments = len(self.arguments)

    def check(self, condition: str, value: Any) -> None:
        self.checked.append(condition.format(self._parameter(value)))

    def source(self, order: str, limit: int) -> str:
        """The rest of a query after FROM: the tasks, in this order, with what belongs to them."""
        where = " AND ".join(self.driving)
        if len(self.statuses) > 1:  # each status in its order, because an index on several gives no order
            scans = [
                f"(SELECT * FROM tasks t WHERE {where} AND t.status = {self._parameter(status)} "
                f"ORDER BY {order} LIMIT {limit + 1})"
                for status in self.statuses
            ]
            return f"({' UNION ALL '.join(scans)}) AS t {JOINS}"
        if not self.checked:
            return f"tasks t {JOINS} WHERE {where}"
        scan = f"SELECT * FROM tasks t WHERE {where} ORDER BY {order} LIMIT {self.max_rows_read}"
        return f"({scan}) AS t {JOINS} WHERE {' AND '.join(self.checked)}"

    def _parameter(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"


def is_by_completion(task_filter: TaskFilter) -> bool:
    """Whether the list is ordered by the time of completion, and then by id."""
    return task_filter.completed_after is not None or task_filter.completed_before is not None


async def list_page(
    pool: Pool,
    account_id: str,
    task_filter: TaskFilter,
    *,
    after: Cursor | None,
    limit: int,
    is_descending: bool,
    max_rows_read: int = MAX_ROWS_READ,
) -> TaskPage:
    """The account's tasks by id, which is roughly the order of their creation, or by the time of completion if that is
    filtered; from `after` on.

    Ids are made by the hosts' clocks, before the commit: one that is committed later may have a lower id.
    """
    query = _query(account_id, task_filter, after, is_descending=is_descending)
    query.max_rows_read = max_rows_read
    direction = "DESC" if is_descending else "ASC"
    order = f"id {direction}"
    if is_by_completion(task_filter):
        order = f"completed_at {direction}, {order}"
    columns = COLUMNS.replace("t.instructions", "'' AS instructions") if task_filter.is_summary else COLUMNS
    statement = f"SELECT {columns} FROM {query.source(order, limit)}"
    return await _page(pool, statement, query, order, limit, is_by_completion(task_filter))


async def _page(
    pool: Pool, statement: str, query: _Query, order: str, limit: int, by_completion: bool
) -> TaskPage:
    page = await db.fetch_page(pool, statement, *query.arguments, order=order, limit=limit, of=task_of)
    if page.has_more:
        last = page.rows[-1]
        return TaskPage(page.rows, True, Cursor(last.id, last.completed_at if by_completion else None))
    if not query.checked:
        return TaskPage(page.rows, False, None)
    ends = await pool.fetch(
        f"SELECT id, completed_at FROM tasks t WHERE {' AND '.join(query.driving)} "
        f"ORDER BY {order} OFFSET {query.max_rows_read - 1} LIMIT 2",
        *query.arguments[: query.driving_arguments],
    )
    if len(ends) < 2:
        return TaskPage(page.rows, False, None)
    end = ends[0]
    return TaskPage(page.rows, True, Cursor(end["id"], end["completed_at"] if by_completion else None))


def _query(account_id: str, task_filter: TaskFilter, after: Cursor | None, *, is_descending: bool) -> _Query:
    query = _Query()
    query.drive("t.account_id = {}", account_id)
    query.drive("t.deleted_at IS NULL")
    sign = "<" if is_descending else ">"
    if after is not None and after.completed_at is not None:
        query.drive(f"(t.completed_at, t.id) {sign} ({{}}, {{}})", after.completed_at, after.id)
    elif after is not None:
        query.drive(f"t.id {sign} {{}}", after.id)
    _add_times(query, task_filter)
    # The database chooses between the index of the words or metadata and that of the account, by what it expects.
    if task_filter.metadata is not None:
        query.drive("t.metadata @> {}::jsonb", task_filter.metadata)
    if task_filter.text is not None:
        _add_text(query, account_id, task_filter.text)
    _add_values(query, task_filter)
    return query


def _add_values(query: _Query, task_filter: TaskFilter) -> None:
    """Of the filters by single values, the one that usually leaves the fewest tasks drives."""
    statuses = sorted(task_filter.statuses)
    are_live = bool(statuses) and TERMINAL.isdisjoint(statuses)
    by_status = ("t.status = {}", statuses[0] if len(statuses) == 1 else None)
    conditions: Sequence[tuple[str, Any]] = (
        by_status if are_live else ("", None),
        ("t.batch_id = {}", task_filter.batch_id),
        ("t.error_code = {}", task_filter.error_code),
        ("t.agent_version_id = {}", task_filter.agent_version_id),
        ("t.agent_id = {}", task_filter.agent_id),
        ("", None) if are_live else by_status,
        ("t.mode = {}", task_filter.mode),
    )
    present = [(condition, value) for condition, value in conditions if value is not None]
    if len(statuses) > 1 and not present:
        query.statuses = statuses
        return
    for condition, value in present[:1]:
        query.drive(condition, value)
    for condition, value in present[1:]:
        query.check(condition, value)
    if len(statuses) > 1:
        query.check("t.status = ANY({}::text[])", statuses)


def _add_times(query: _Query, task_filter: TaskFilter) -> None:
    if (moment := task_filter.created_after) is not None:
        query.drive(
            "t.id > {} AND t.created_at > {}", bounds("tsk", _shifted(moment, -CLOCKS_DIFFER))[0], moment
        )
    if (moment := task_filter.created_before) is not None:
        query.drive(
            "t.id < {} AND t.created_at < {}", bounds("tsk", _shifted(moment, CLOCKS_DIFFER))[1], moment
        )
    if is_by_completion(task_filter):
        query.drive("t.completed_at IS NOT NULL")
    if task_filter.completed_after is not None:
        query.drive("t.completed_at > {}", task_filter.completed_after)
    if task_filter.completed_before is not None:
        query.drive("t.completed_at < {}", task_filter.completed_before)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment.astimezone(UTC)


def _add_text(query: _Query, account_id: str, text: str) -> None:
    """An id or its beginning, or the beginnings of words of the title."""
    if _BEGINNING_OF_ID.fullmatch(text):
        query.drive("t.id >= {} AND t.id <= {}", text, text.ljust(len("tsk_") + 26, "z"))
        return
    words = " & ".join(f"'{word}':*" for word in _WORD.findall(text))
    query.drive(f"{_TITLE} @@ ({{}}::tsquery && to_tsquery('simple', {{}}))", f"'@{account_id}'", words)


def has_words(text: str) -> bool:
    """Whether the text can be searched for: it has a word."""
    return _WORD.search(text) is not None
