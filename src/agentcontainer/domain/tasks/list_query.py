"""Which conditions a filter of the task list makes, and which of them an index answers.

Conditions are of three kinds. Those that *drive* are answered by a B-tree index, in the order of the list. Those that
are *searched*, of metadata and of words of the title, are answered by a GIN index, in no order. The others are
*checked* row by row.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agentcontainer.domain.tasks.model import TaskFilter
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.domain.tasks.store import JOINS
from agentcontainer.ids import bounds

# Ids carry the time of the host that made them, which may differ from the database's, whose time is `created_at`.
CLOCKS_DIFFER = timedelta(minutes=1)
_BEGINNING_OF_ID = re.compile(r"tsk_[0-9a-z]{0,26}")
_WORD = re.compile(r"[^\W_]+")
# As in the index `tasks_title`. The account's id is a lexeme, which no word begins like, so that the index finds tasks
# of the account only.
TITLE = "(array_to_tsvector(ARRAY['@' || t.account_id]) || to_tsvector('simple', coalesce(t.title, '')))"
# As in the index `tasks_account_metadata`, for the same purpose.
_METADATA = "(ARRAY[t.account_id] @> ARRAY[{}] AND t.metadata @> {}::jsonb)"


@dataclass(frozen=True)
class Cursor:
    """The task after which a page starts. `completed_at`: in a list that is ordered by it."""

    id: str
    completed_at: datetime | None = None


@dataclass
class ListQuery:
    """The conditions of a list with their arguments. Those that drive come first among the arguments."""

    arguments: list[Any] = field(default_factory=list[Any])
    driving: list[str] = field(default_factory=list[str])
    checked: list[str] = field(default_factory=list[str])
    searched: list[str] = field(default_factory=list[str])
    words: dict[str, str] = field(default_factory=dict[str, str])
    """Of those that are searched: a text search for a word of the title → its condition."""
    driving_arguments: int = 0
    statuses: Sequence[Status] = ()
    """If there are several: the task has one of them. Nothing is checked or searched then."""

    def drive(self, condition: str, *values: Any) -> None:
        self.driving.append(self._filled(condition, values))
        self.driving_arguments = len(self.arguments)

    def check(self, condition: str, value: Any) -> None:
        self.checked.append(self._filled(condition, [value]))

    def search(self, condition: str, *values: Any) -> None:
        self.searched.append(self._filled(condition, values))

    def search_word(self, text: str) -> None:
        search = beginning(text)
        if search not in self.words:
            self.words[search] = self._filled(f"{TITLE} @@ to_tsquery('simple', {{}})", [search])

    @property
    def not_driving(self) -> list[str]:
        return [*self.checked, *self.searched, *self.words.values()]

    def source(self, order: str, limit: int, max_rows_read: int) -> str:
        """The rest of a query after FROM: the tasks, in this order, with what belongs to them. What is not driving is
        checked for at most `max_rows_read` tasks."""
        where = " AND ".join(self.driving)
        if len(self.statuses) > 1:  # each status in its order, because an index on several gives no order
            scans = [
                f"(SELECT * FROM tasks t WHERE {where} AND t.status = {self._parameter(status)} "
                f"ORDER BY {order} LIMIT {limit + 1})"
                for status in self.statuses
            ]
            return f"({' UNION ALL '.join(scans)}) AS t {JOINS}"
        if not self.not_driving:
            return f"tasks t {JOINS} WHERE {where}"
        scan = f"SELECT * FROM tasks t WHERE {where} ORDER BY {order} LIMIT {max_rows_read}"
        return f"({scan}) AS t {JOINS} WHERE {' AND '.join(self.not_driving)}"

    def _filled(self, condition: str, values: Sequence[Any]) -> str:
        return condition.format(*(self._parameter(value) for value in values))

    def _parameter(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"


def is_by_completion(task_filter: TaskFilter) -> bool:
    """Whether the list is ordered by the time of completion, and then by id."""
    return task_filter.completed_after is not None or task_filter.completed_before is not None


def has_words(text: str) -> bool:
    """Whether the text can be searched for: it has a word."""
    return _WORD.search(text) is not None


def beginning(text: str) -> str:
    """A text search for titles that have a word which begins like the text, or words that begin like each of its words.

    PostgreSQL takes `report.md` for one word, and `2026-01` for the words `2026` and `-01`, so the text is searched for
    as PostgreSQL reads it too. A database with the locale C does not fold the case of letters outside ASCII.
    """
    spellings = [text] if text.isascii() else [text, text.lower(), text.upper(), text.capitalize()]
    searches = dict[str, None]()
    for spelling in spellings:
        searches[" & ".join(f"'{word}':*" for word in _WORD.findall(spelling))] = None
        quoted = spelling.replace("\\", "\\\\").replace("'", "''")
        searches[f"'{quoted}':*"] = None
    return " | ".join(searches)


def query_of(
    account_id: str, task_filter: TaskFilter, after: Cursor | None, *, is_descending: bool
) -> ListQuery:
    """The conditions of a page of the list."""
    query = ListQuery()
    query.drive("t.account_id = {}", account_id)
    query.drive("t.deleted_at IS NULL")
    sign = "<" if is_descending else ">"
    if after is not None and after.completed_at is not None:
        query.drive(f"(t.completed_at, t.id) {sign} ({{}}, {{}})", after.completed_at, after.id)
    elif after is not None:
        query.drive(f"t.id {sign} {{}}", after.id)
    _add_times(query, task_filter)
    text = task_filter.text
    if text is not None and _BEGINNING_OF_ID.fullmatch(text):
        query.drive("t.id >= {} AND t.id <= {}", text, text.ljust(len("tsk_") + 26, "z"))
        text = None
    _add_values(query, task_filter, is_search=text is not None or task_filter.metadata is not None)
    if task_filter.metadata is not None:
        query.search(_METADATA, account_id, task_filter.metadata)
    if text is not None:
        query.search(f"{TITLE} @@ {{}}::tsquery", f"'@{account_id}'")
        for part in filter(has_words, text.split()):
            query.search_word(part)
    return query


def _add_values(query: ListQuery, task_filter: TaskFilter, *, is_search: bool) -> None:
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
    agent_ids = task_filter.agent_ids
    if len(statuses) > 1 and not present and not is_search and agent_ids is None:
        query.statuses = statuses
        return
    for condition, value in present[:1]:
        query.drive(condition, value)
    for condition, value in present[1:]:
        query.check(condition, value)
    if len(statuses) > 1:
        query.check("t.status = ANY({}::text[])", statuses)
    if agent_ids is not None:
        query.check("t.agent_id = ANY({}::text[])", sorted(agent_ids))


def _add_times(query: ListQuery, task_filter: TaskFilter) -> None:
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
