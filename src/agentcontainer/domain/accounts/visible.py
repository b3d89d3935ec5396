"""SQL that says what exists for a key which is bound to agents: their tasks, batches and files."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.accounts.principal import Principal

T = TypeVar("T")
MAX_USES = 1000  # of a file that are looked at, so that a file which very many tasks have costs no more
ROWS_AT_ONCE = 200
MAX_ROWS_READ = 2000  # for one page of a list

_TASKS = "SELECT id FROM tasks WHERE id = ANY($1::text[]) AND account_id = $2 AND agent_id = ANY($3::text[])"
_BATCH = (
    "SELECT EXISTS (SELECT FROM batches WHERE id = $1 AND account_id = $2 AND agent_id = ANY($3::text[]))"
)
# Of a file `f`: what the key itself uploaded, what tasks of the agents wrote or were given, and what the agents have.
_FILE = """(
    f.api_key_id = {key_id}
    OR EXISTS (SELECT FROM tasks t WHERE t.id = f.task_id AND t.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM (SELECT task_id FROM task_input_files WHERE file_id = f.id LIMIT {uses}) AS i
               JOIN tasks t ON t.id = i.task_id WHERE t.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM (SELECT message_id FROM message_files WHERE file_id = f.id LIMIT {uses}) AS i
               JOIN messages m ON m.id = i.message_id JOIN tasks t ON t.id = m.task_id
               WHERE t.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM agent_versions v WHERE v.reference_file_ids @> ARRAY[f.id]
               AND v.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM agent_versions v WHERE v.skills <> '[]' AND v.skills ? f.id
               AND v.agent_id = ANY({agent_ids}::text[]))
)"""
_FILES = f"""
SELECT f.id FROM files f WHERE f.account_id = $1 AND f.id = ANY($2::text[]) AND f.deleted_at IS NULL
    AND {_FILE.format(key_id="$3", agent_ids="$4", uses=MAX_USES)}
"""


@dataclass(frozen=True)
class FilteredPage(Page[T]):
    """A page of a list from which rows were left out. `position`: of the last row that was looked at."""

    position: str | None


async def visible_tasks(pool: Connection | Pool, principal: Principal, task_ids: Collection[str]) -> set[str]:
    """Those of these tasks that exist for the principal, who is bound to agents."""
    rows = await pool.fetch(_TASKS, list(task_ids), principal.account_id, principal.visible_agents() or [])
    return {row["id"] for row in rows}


async def is_batch_visible(pool: Connection | Pool, principal: Principal, batch_id: str) -> bool:
    """Whether the batch exists for the principal, who is bound to agents."""
    return await pool.fetchval(_BATCH, batch_id, principal.account_id, principal.visible_agents() or [])


async def visible_files(pool: Connection | Pool, principal: Principal, file_ids: Collection[str]) -> set[str]:
    """Those of these files that exist for the principal, who is bound to agents."""
    rows = await pool.fetch(
        _FILES, principal.account_id, list(file_ids), principal.key_id, principal.visible_agents() or []
    )
    return {row["id"] for row in rows}


async def filtered_page(
    read: Callable[[str | None, int], Awaitable[Page[T]]],
    choose: Callable[[Sequence[T]], Awaitable[Sequence[T]]],
    position_of: Callable[[T], str],
    *,
    after: str | None,
    limit: int,
) -> FilteredPage[T]:
    """The rows that `choose` leaves of the list that `read(after, limit)` reads.

    A page looks at `MAX_ROWS_READ` rows at most, so it may be short, or empty, although there are more.
    """
    chosen, position = list[T](), after
    for _ in range(MAX_ROWS_READ // ROWS_AT_ONCE):
        page = await read(position, ROWS_AT_ONCE)
        chosen += await choose(page.rows)
        if len(chosen) > limit or (len(chosen) == limit and page.has_more):
            return FilteredPage(chosen[:limit], True, position_of(chosen[limit - 1]))
        if not page.has_more:
            return FilteredPage(chosen, False, None)
        position = position_of(page.rows[-1])
    return FilteredPage(chosen, True, position)
