"""Reads the new events of many tasks in one query, for processes that follow many event logs."""

from collections.abc import Mapping, Sequence

from agentcontainer.db import Pool
from agentcontainer.domain.tasks.events import Event

PAGE_EVENTS = 100
PAGE_BYTES = 64 * 1024  # of their data; a single larger event is a page of its own

_BEHIND = """
SELECT id FROM tasks JOIN unnest($1::text[], $2::bigint[]) AS reader (task_id, position) ON id = reader.task_id
WHERE last_event_sequence > position
"""
_NEWS = """
SELECT page.*, last_event_sequence
FROM unnest($1::text[], $2::bigint[]) AS reader (id, position)
JOIN tasks ON tasks.id = reader.id
CROSS JOIN LATERAL (
    SELECT *, sum(octet_length(data::text)) OVER (ORDER BY sequence) AS bytes_up_to_here
    FROM (SELECT * FROM events WHERE task_id = reader.id AND sequence > position ORDER BY sequence LIMIT $3) AS next
) AS page
WHERE bytes_up_to_here <= $4 OR sequence = position + 1
ORDER BY page.task_id, sequence
"""


async def find_tasks(pool: Pool, positions: Mapping[str, int]) -> list[str]:
    """Of the tasks in `positions` (task id → sequence), those with events after that sequence."""
    rows = await pool.fetch(_BEHIND, list(positions), list(positions.values()))
    return [row["id"] for row in rows]


async def read(pool: Pool, positions: Mapping[str, int]) -> Sequence[tuple[Event, int]]:
    """The next page of events of each task in `positions` (task id → sequence), in order. With each event comes the
    number of the last event of its log."""
    rows = await pool.fetch(_NEWS, list(positions), list(positions.values()), PAGE_EVENTS, PAGE_BYTES)
    return [(Event.of(row), row["last_event_sequence"]) for row in rows]
