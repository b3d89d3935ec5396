"""All SQL on agents and their versions."""

from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.agents.model import Agent, Content, Version

_SELECT = """
SELECT a.*, to_jsonb(v) AS version, v.created_at AS version_created_at
FROM agents a JOIN agent_versions v ON v.id = a.current_version_id
WHERE (a.account_id = $1 OR a.account_id IS NULL)
"""
# Without the join: a row that waited for its lock would be joined to the version it no longer points to.
# NO KEY: tasks that are dispatched meanwhile, which refer to the agent, need not wait.
_LOCK = "SELECT archived_at FROM agents WHERE id = $2 AND account_id = $1 FOR NO KEY UPDATE"
_INSERT = """
INSERT INTO agents (id, account_id, name, description, current_version_id) VALUES ($1, $2, $3, $4, $5)
"""
_INSERT_VERSION = """
INSERT INTO agent_versions (id, agent_id, number, container_image, base_prompt, defaults, reference_file_ids, skills)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7 FROM agent_versions WHERE agent_id = $2
"""
_DESCRIBE = """
UPDATE agents SET name = coalesce($2, name), description = coalesce($3, description) WHERE id = $1
"""
_VERSION = "SELECT * FROM agent_versions WHERE agent_id = $1 AND id = $2"
_VERSIONS = "SELECT * FROM agent_versions WHERE agent_id = $1"


async def get(connection: Connection | Pool, account_id: str, agent_id: str) -> Agent | None:
    """An agent of the account, or a standard one; None: neither."""
    row = await connection.fetchrow(_SELECT + "AND a.id = $2", account_id, agent_id)
    return Agent.of(row) if row else None


async def lock(connection: Connection, account_id: str, agent_id: str) -> bool:
    """Nobody else changes the account's own agent while the transaction lasts; False: there is none."""
    return await connection.fetchrow(_LOCK, account_id, agent_id) is not None


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Agent]:
    """The account's agents and the standard ones, by id from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"{_SELECT} AND ($2::text IS NULL OR a.id {sign} $2)"
    return await db.fetch_page(
        pool, query, account_id, after_id, order=f"id {direction}", limit=limit, of=Agent.of
    )


async def insert(
    connection: Connection, agent_id: str, account_id: str, name: str, description: str, version_id: str
) -> None:
    """A new agent; its version follows within the transaction."""
    await connection.execute(_INSERT, agent_id, account_id, name, description, version_id)


async def insert_version(connection: Connection, version_id: str, agent_id: str, content: Content) -> None:
    """The agent's next version, not yet current."""
    await connection.execute(
        _INSERT_VERSION, version_id, agent_id, content.container_image, content.base_prompt, content.defaults,
        content.reference_file_ids, content.skills,
    )  # fmt: skip


async def describe(connection: Connection, agent_id: str, name: str | None, description: str | None) -> None:
    """Another name or description; None: as it is."""
    await connection.execute(_DESCRIBE, agent_id, name, description)


async def set_current(connection: Connection, agent_id: str, version_id: str) -> None:
    """New tasks get this version."""
    await connection.execute("UPDATE agents SET current_version_id = $2 WHERE id = $1", agent_id, version_id)


async def set_archived(connection: Connection, agent_id: str, archived_at: datetime | None) -> None:
    await connection.execute("UPDATE agents SET archived_at = $2 WHERE id = $1", agent_id, archived_at)


async def get_version(connection: Connection | Pool, agent_id: str, version_id: str) -> Version | None:
    """A version of the agent; None: it has no such."""
    row = await connection.fetchrow(_VERSION, agent_id, version_id)
    return Version.of(row) if row else None


async def list_versions(
    pool: Pool, agent_id: str, *, after_number: int | None, limit: int, is_descending: bool
) -> Page[Version]:
    """The agent's versions by number, from `after_number` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"{_VERSIONS} AND ($2::bigint IS NULL OR number {sign} $2)"
    return await db.fetch_page(
        pool, query, agent_id, after_number, order=f"number {direction}", limit=limit, of=Version.of
    )
