"""Lists what uses a file: versions of agents, and tasks, those that have not ended first.

A file can be an input of very many tasks. The list reads and returns a limited number of them, whatever their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Pool, Record
from agentcontainer.domain.files.use import LIVE, MAX_USES, find_use
from agentcontainer.domain.tasks.state import Status

MAX_LISTED = 100  # of versions, and of tasks
HIDDEN_USER = "a task that has not ended, or an agent"  # for a key that may not see which

UseKind = Literal["reference_file", "skill", "input", "message"]

_VERSIONS = """
SELECT kind, v.id, v.agent_id, v.number FROM (
    (SELECT 'reference_file' AS kind, id, agent_id, number FROM agent_versions
        WHERE reference_file_ids @> ARRAY[$1::text] LIMIT $2)
    UNION ALL
    (SELECT 'skill', id, agent_id, number FROM agent_versions WHERE skills <> '[]' AND skills ? $1 LIMIT $2)
) AS v WHERE $3::text[] IS NULL OR agent_id = ANY($3) ORDER BY v.id DESC LIMIT $2
"""
# The skills of ended tasks have no index, and do not keep the file.
_TASKS = f"""
WITH uses AS MATERIALIZED (
    (SELECT 'input' AS kind, task_id FROM task_input_files WHERE file_id = $1 LIMIT $2)
    UNION ALL
    SELECT 'message', m.task_id FROM (SELECT message_id FROM message_files WHERE file_id = $1 LIMIT $2) AS i
        JOIN messages m ON m.id = i.message_id
    UNION ALL
    (SELECT 'skill', id FROM tasks WHERE skills <> '[]' AND skills ? $1
        AND status IN ({", ".join(repr(status) for status in LIVE)}) LIMIT $2)
)
SELECT uses.kind, t.id, t.agent_id, t.title, t.status, (SELECT count(*) FROM uses) AS read
FROM uses JOIN tasks t ON t.id = uses.task_id
WHERE t.deleted_at IS NULL AND ($5::text[] IS NULL OR t.agent_id = ANY($5))
ORDER BY t.status = ANY($3::text[]) DESC, t.id DESC LIMIT $4
"""  # noqa: S608


@dataclass(frozen=True)
class ListedUse:
    """One use of a file. By a version of an agent: its id and number. By a task: its id, title and status."""

    kind: UseKind
    agent_id: str
    version_id: str | None = None
    version_number: int | None = None
    task_id: str | None = None
    title: str | None = None
    status: Status | None = None

    @classmethod
    def by_task(cls, row: Record) -> "ListedUse":
        return cls(
            row["kind"], row["agent_id"], task_id=row["id"], title=row["title"], status=Status(row["status"])
        )


@dataclass(frozen=True)
class FileUses:
    """What uses a file. `is_complete`: nothing else does. `kept_by`: what keeps it from being deleted, as a phrase;
    None: nothing does."""

    data: Sequence[ListedUse]
    is_complete: bool
    kept_by: str | None


async def list_uses(
    pool: Pool, account_id: str, file_id: str, agent_ids: Sequence[str] | None = None
) -> FileUses:
    """What uses the file, as far as it is listed. `agent_ids`: only uses by these agents; None: by all."""
    async with db.transaction(pool) as connection:
        use = await find_use(connection, account_id, [file_id])
        versions = await connection.fetch(_VERSIONS, file_id, MAX_LISTED + 1, agent_ids)
        tasks = await connection.fetch(_TASKS, file_id, MAX_USES, list(LIVE), MAX_LISTED + 1, agent_ids)
    is_complete = max(len(versions), len(tasks)) <= MAX_LISTED and all(
        row["read"] < MAX_USES for row in tasks
    )
    uses = [
        ListedUse(row["kind"], row["agent_id"], row["id"], row["number"]) for row in versions[:MAX_LISTED]
    ]
    kept_by = use and (use.user if agent_ids is None else HIDDEN_USER)
    return FileUses([*uses, *map(ListedUse.by_task, tasks[:MAX_LISTED])], is_complete, kept_by)
