"""Agents and their versions, as tasks and clients read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentcontainer.db import Connection, Pool, Record
from agentcontainer.errors import Conflict, NotFound, ValidationError

_SELECT = """
SELECT a.*, to_jsonb(v) AS version, v.created_at AS version_created_at
FROM agents a JOIN agent_versions v ON v.id = a.current_version_id
WHERE (a.account_id = $1 OR a.account_id IS NULL)
"""
_VERSION = "SELECT * FROM agent_versions WHERE agent_id = $1 AND id = $2"


@dataclass(frozen=True)
class Version:
    """One immutable version of an agent. `defaults` is camel-case, as on the wire."""

    id: str
    agent_id: str
    number: int
    container_image: str | None
    base_prompt: str
    defaults: dict[str, Any]
    reference_file_ids: list[str]
    skills: list[Any]
    created_at: datetime


@dataclass(frozen=True)
class Agent:
    """An agent with its current version. `account_id` None: a standard agent."""

    id: str
    account_id: str | None
    name: str
    description: str
    current_version: Version
    archived_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Record) -> "Agent":
        version = Version(**{**row["version"], "created_at": row["version_created_at"]})
        names = ("id", "account_id", "name", "description", "archived_at", "created_at")
        return cls(**{name: row[name] for name in names}, current_version=version)


async def get(connection: Connection | Pool, account_id: str, agent_id: str) -> Agent:
    """An agent of the account, or a standard one.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    row = await connection.fetchrow(_SELECT + "AND a.id = $2", account_id, agent_id)
    if row is None:
        raise NotFound(f"Agent {agent_id} does not exist.")
    return Agent.of(row)


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> list[Agent]:
    """The account's agents and the standard ones, by id from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"{_SELECT} AND ($2::text IS NULL OR a.id {sign} $2) ORDER BY a.id {direction} LIMIT $3"
    return [Agent.of(row) for row in await pool.fetch(query, account_id, after_id, limit)]


async def resolve_version(
    connection: Connection, account_id: str, agent_id: str, version_id: str | None
) -> Version:
    """The version a new task is pinned to: the named one, or the agent's current.

    Raises:
        NotFound: no such agent. Conflict: it is archived. ValidationError: it has no such version.
    """
    agent = await get(connection, account_id, agent_id)
    if agent.archived_at is not None:
        raise Conflict(f"Agent {agent_id} is archived and takes no new tasks.")
    if version_id is None or version_id == agent.current_version.id:
        return agent.current_version
    row = await connection.fetchrow(_VERSION, agent_id, version_id)
    if row is None:
        raise ValidationError.at("versionId", f"agent {agent_id} has no version {version_id}")
    return Version(**dict(row))
