"""SQL on agents and their versions."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.agents.model import Agent, Content, NewAgent, Version
from agentcontainer.domain.execution.store import StoredDefaults, defaults_of, defaults_to_json

_GET = """
SELECT a.*, to_jsonb(v) AS version, v.created_at AS version_created_at
FROM agents a JOIN agent_versions v ON v.id = a.current_version_id
WHERE a.id = $2 AND (a.account_id = $1 OR a.account_id IS NULL)
"""
# Two parts, each in the order of an index: one with OR would read and sort all agents of the account.
_PAGE = """
SELECT a.*, to_jsonb(v) AS version, v.created_at AS version_created_at FROM (
    (SELECT * FROM agents WHERE account_id = $1{condition} ORDER BY id {direction} LIMIT {limit})
    UNION ALL (SELECT * FROM agents WHERE account_id IS NULL{condition} ORDER BY id {direction} LIMIT {limit})
) AS a JOIN agent_versions v ON v.id = a.current_version_id
"""
# No join: after waiting for the lock, PostgreSQL would return the new agent row with the old version.
# NO KEY: dispatches, whose tasks refer to the agent, need not wait.
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
_INSERT_STANDARD_VERSION = """
INSERT INTO agent_versions (id, agent_id, number, base_prompt, defaults)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4 FROM agent_versions WHERE agent_id = $2
ON CONFLICT DO NOTHING
"""
_UPSERT_STANDARD = """
INSERT INTO agents (id, name, description, current_version_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
    current_version_id = excluded.current_version_id
"""


async def get(connection: Connection | Pool, account_id: str, agent_id: str) -> Agent | None:
    """An agent of the account, or a standard one. None: there is no such agent."""
    row = await connection.fetchrow(_GET, account_id, agent_id)
    return _agent(row) if row else None


async def lock(connection: Connection, account_id: str, agent_id: str) -> bool:
    """Lock the account's own agent until the transaction ends. False: the account has no such agent."""
    return await connection.fetchrow(_LOCK, account_id, agent_id) is not None


async def list_page(
    pool: Pool,
    account_id: str,
    *,
    agent_ids: Sequence[str] | None = None,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[Agent]:
    """The account's agents and the standard ones, by id from `after_id` on. `agent_ids`: only these."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    arguments: list[object] = [account_id]
    condition = ""
    if after_id is not None:
        arguments.append(after_id)
        condition += f" AND id {sign} ${len(arguments)}"
    if agent_ids is not None:
        arguments.append(list(agent_ids))
        condition += f" AND id = ANY(${len(arguments)}::text[])"
    query = _PAGE.format(condition=condition, direction=direction, limit=limit + 1)
    return await db.fetch_page(pool, query, *arguments, order=f"id {direction}", limit=limit, of=_agent)


async def insert(connection: Connection, agent: NewAgent) -> None:
    """Insert an agent. Its version must follow in the same transaction."""
    await connection.execute(
        _INSERT, agent.id, agent.account_id, agent.name, agent.description, agent.current_version_id
    )


async def insert_version(connection: Connection, version_id: str, agent_id: str, content: Content) -> None:
    """Insert the agent's next version. `set_current` makes it current."""
    await connection.execute(
        _INSERT_VERSION, version_id, agent_id, content.container_image, content.base_prompt,
        defaults_to_json(content.defaults), content.reference_file_ids, content.skills,
    )  # fmt: skip


async def upsert_standard(
    connection: Connection, agent_id: str, name: str, description: str, version_id: str, base_prompt: str,
    defaults: StoredDefaults,
) -> None:  # fmt: skip
    """Insert or update a standard agent, and insert this version of it unless it exists."""
    await connection.execute(_INSERT_STANDARD_VERSION, version_id, agent_id, base_prompt, defaults)
    await connection.execute(_UPSERT_STANDARD, agent_id, name, description, version_id)


async def describe(connection: Connection, agent_id: str, name: str | None, description: str | None) -> None:
    """Set name and description. None: unchanged."""
    await connection.execute(_DESCRIBE, agent_id, name, description)


async def set_current(connection: Connection, agent_id: str, version_id: str) -> None:
    """Make this the version of new tasks."""
    await connection.execute("UPDATE agents SET current_version_id = $2 WHERE id = $1", agent_id, version_id)


async def set_archived(connection: Connection, agent_id: str, archived_at: datetime | None) -> None:
    await connection.execute("UPDATE agents SET archived_at = $2 WHERE id = $1", agent_id, archived_at)


async def get_version(connection: Connection | Pool, agent_id: str, version_id: str) -> Version | None:
    """A version of the agent. None: the agent has no such version."""
    row = await connection.fetchrow(_VERSION, agent_id, version_id)
    return version_of(cast("StoredVersion", row), row["created_at"]) if row else None


async def list_versions(
    pool: Pool, agent_id: str, *, after_number: int | None, limit: int, is_descending: bool
) -> Page[Version]:
    """The agent's versions by number, from `after_number` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = _VERSIONS, ()
    if after_number is not None:
        query, arguments = f"{_VERSIONS} AND number {sign} $2", (after_number,)
    return await db.fetch_page(
        pool, query, agent_id, *arguments, order=f"number {direction}", limit=limit,
        of=lambda row: version_of(cast("StoredVersion", row), row["created_at"]),
    )  # fmt: skip


def _agent(row: Record) -> Agent:
    return Agent(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        description=row["description"],
        current_version=version_of(row["version"], row["version_created_at"]),
        archived_at=row["archived_at"],
        created_at=row["created_at"],
    )


class StoredVersion(TypedDict):
    """A row of `agent_versions`, or the same as JSON, in which times are text."""

    id: str
    agent_id: str
    number: int
    container_image: str | None
    base_prompt: str
    defaults: StoredDefaults
    reference_file_ids: list[str]
    skills: list[str]


def version_of(row: StoredVersion, created_at: datetime) -> Version:
    """The version of a row of `agent_versions`."""
    return Version(
        id=row["id"],
        agent_id=row["agent_id"],
        number=row["number"],
        container_image=row["container_image"],
        base_prompt=row["base_prompt"],
        defaults=defaults_of(row["defaults"]),
        reference_file_ids=row["reference_file_ids"],
        skills=row["skills"],
        created_at=created_at,
    )
