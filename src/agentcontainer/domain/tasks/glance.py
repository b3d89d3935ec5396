"""What a list shows of each task beside its row: its latest tool call and message, and how many files it has put out.

One query for a page of tasks, which reads a few rows of each by an index, however long its log is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcontainer.db import Connection, Pool, Record

MAX_CHARACTERS = 200  # of the text of a call or message
MAX_COUNT = 1000  # of output files

# The arguments are those that describe a call of one of Pi's tools.
_GLANCES = """
SELECT t.id, files.count AS output_count,
    call.tool, call.summary, call.created_at AS called_at, said.role, said.content, said.created_at AS said_at
FROM unnest($1::text[]) AS t (id)
CROSS JOIN LATERAL (
    SELECT count(*) FROM (SELECT FROM files f WHERE f.task_id = t.id AND f.deleted_at IS NULL LIMIT $3) AS counted
) AS files
LEFT JOIN LATERAL (
    SELECT data ->> 'tool' AS tool, created_at, left(coalesce(
        data -> 'input' ->> 'command', data -> 'input' ->> 'path', data -> 'input' ->> 'file_path',
        data -> 'input' ->> 'pattern', ''), $2) AS summary
    FROM events e
    WHERE e.task_id = t.id AND type IN ('tool.started', 'tool.completed') AND type = 'tool.started'
    ORDER BY sequence DESC LIMIT 1
) AS call ON true
LEFT JOIN LATERAL (
    SELECT role, left(content, $2) AS content, created_at FROM messages m
    WHERE m.task_id = t.id ORDER BY turn_number DESC, sequence DESC LIMIT 1
) AS said ON true
"""


@dataclass(frozen=True)
class LastActivity:
    """The latest tool call. `summary`: its command or path, cut; empty where it has neither."""

    tool: str
    summary: str
    at: datetime


@dataclass(frozen=True)
class LastMessage:
    """The latest message, of a user or of the agent. `content` is cut."""

    role: str
    content: str
    at: datetime


@dataclass(frozen=True)
class Glance:
    """What a list shows of a task. `output_count`: at most `MAX_COUNT`."""

    output_count: int
    last_activity: LastActivity | None
    last_message: LastMessage | None


async def read(pool: Pool | Connection, task_ids: Sequence[str]) -> Mapping[str, Glance]:
    """The glance of each of these tasks."""
    rows = await pool.fetch(_GLANCES, list(task_ids), MAX_CHARACTERS, MAX_COUNT) if task_ids else []
    return {row["id"]: _glance(row) for row in rows}


def _glance(row: Record) -> Glance:
    return Glance(
        row["output_count"],
        LastActivity(row["tool"], row["summary"], row["called_at"]) if row["called_at"] else None,
        LastMessage(row["role"], row["content"], row["said_at"]) if row["said_at"] else None,
    )
