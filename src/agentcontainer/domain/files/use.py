"""Finds what uses a file: a task that has not ended, or a version of an agent.

A file can be an input of very many tasks that have ended. So its uses are read only if they are few; otherwise the
account's live tasks are read in batches. What a search reads does not grow with the history.
"""

from collections.abc import Sequence

from agentcontainer import db
from agentcontainer.db import Connection
from agentcontainer.domain.files.model import FileUse
from agentcontainer.domain.tasks.state import TERMINAL, Status

MAX_USES = 1000
TASKS_AT_ONCE = 1000
LIVE = tuple(status.value for status in Status if status not in TERMINAL)

_LIVE = f"t.status IN ({', '.join(repr(status) for status in LIVE)})"
_VERSION = """
SELECT f.id AS file_id, version.agent_id, version.number FROM unnest($1::text[]) AS f (id) CROSS JOIN LATERAL (
    (SELECT agent_id, number FROM agent_versions WHERE reference_file_ids @> ARRAY[f.id] LIMIT 1)
    UNION ALL (SELECT agent_id, number FROM agent_versions WHERE skills <> '[]' AND skills ? f.id LIMIT 1)
) AS version LIMIT 1
"""
# An output of the task, and a skill of it: both are found by an index of what is live.
_DIRECT = f"""
(SELECT f.id AS file_id, t.id AS task_id FROM files f JOIN tasks t ON t.id = f.task_id
    WHERE f.id = ANY($1::text[]) AND {_LIVE} LIMIT 1)
UNION ALL
(SELECT f.id, t.id FROM unnest($1::text[]) AS f (id) JOIN tasks t ON t.skills ? f.id
    WHERE t.skills <> '[]' AND {_LIVE} LIMIT 1)
LIMIT 1
"""  # noqa: S608
# `uses`: how many there are, at most 2 * $2. `file_id` and `task_id`: one by a live task. `OFFSET 0` makes the planner
# look up each task instead of reading the whole table.
_FEW_USES = f"""
WITH uses AS MATERIALIZED (
    (SELECT file_id, task_id FROM task_input_files WHERE file_id = ANY($1::text[]) LIMIT $2)
    UNION ALL
    SELECT i.file_id, m.task_id FROM (
        SELECT file_id, message_id FROM message_files WHERE file_id = ANY($1::text[]) LIMIT $2
    ) AS i JOIN messages m ON m.id = i.message_id
)
SELECT counted.uses, live.file_id, live.task_id FROM (SELECT count(*) AS uses FROM uses) AS counted
LEFT JOIN LATERAL (
    SELECT uses.file_id, task.id AS task_id FROM uses CROSS JOIN LATERAL (
        SELECT t.id FROM tasks t WHERE t.id = uses.task_id AND {_LIVE} OFFSET 0
    ) AS task LIMIT 1
) AS live ON true
"""  # noqa: S608
# `|| ''` keeps the planner from the index on file_id, which would read all uses of the file for each task.
_USES_OF_TASKS = """
WITH page AS MATERIALIZED (
    SELECT id FROM tasks WHERE account_id = $2 AND status = $3 AND id > $4 ORDER BY id LIMIT $5
)
SELECT (SELECT max(id) FROM page) AS last, used.file_id, used.task_id FROM (SELECT) AS once LEFT JOIN LATERAL (
    SELECT named.file_id, page.id AS task_id FROM page CROSS JOIN LATERAL (
        SELECT i.file_id FROM task_input_files i WHERE i.task_id = page.id AND i.file_id || '' = ANY($1::text[])
        UNION ALL
        SELECT i.file_id FROM messages m JOIN message_files i ON i.message_id = m.id
        WHERE m.task_id = page.id AND i.file_id || '' = ANY($1::text[])
    ) AS named LIMIT 1
) AS used ON true
"""


async def find_use(connection: Connection, account_id: str, file_ids: Sequence[str]) -> FileUse | None:
    """A use of one of these files by a live task or an agent version. None: nothing uses them."""
    await db.forbid_whole_tables(connection)
    if row := await connection.fetchrow(_VERSION, list(file_ids)):
        return FileUse(row["file_id"], f"agent {row['agent_id']}, version {row['number']}")
    if row := await connection.fetchrow(_DIRECT, list(file_ids)):
        return _by_task(row["file_id"], row["task_id"])
    row = await connection.fetchrow(_FEW_USES, list(file_ids), MAX_USES)
    assert row is not None
    if row["task_id"] is not None:
        return _by_task(row["file_id"], row["task_id"])
    if row["uses"] < MAX_USES:  # these were all
        return None
    for status in LIVE:
        if use := await _find_among(connection, account_id, status, file_ids):
            return use
    return None


async def _find_among(
    connection: Connection, account_id: str, status: str, file_ids: Sequence[str]
) -> FileUse | None:
    """A use by one of the account's tasks that have this status."""
    last: str | None = ""
    while last is not None:
        row = await connection.fetchrow(
            _USES_OF_TASKS, list(file_ids), account_id, status, last, TASKS_AT_ONCE
        )
        assert row is not None
        if row["task_id"] is not None:
            return _by_task(row["file_id"], row["task_id"])
        last = row["last"]
    return None


def _by_task(file_id: str, task_id: str) -> FileUse:
    return FileUse(file_id, f"task {task_id}, which has not ended")
