"""What an agent and its versions are, as the rest of the code holds them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentcontainer.db import Record


@dataclass(frozen=True)
class Version:
    """One immutable version of an agent. `defaults` is camel-case, as on the wire; `skills` are file ids."""

    id: str
    agent_id: str
    number: int
    container_image: str | None
    base_prompt: str
    defaults: dict[str, Any]
    reference_file_ids: list[str]
    skills: list[str]
    created_at: datetime

    @classmethod
    def of(cls, row: Record) -> "Version":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


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


@dataclass(frozen=True)
class Change:
    """What a client wants of an agent, new or not. None: not said. In `defaults` a None resets that default.
    `container_image`: (None,) for the platform's own."""

    name: str | None = None
    description: str | None = None
    container_image: tuple[str | None] | None = None
    base_prompt: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
    reference_file_ids: list[str] | None = None
    skills: list[str] | None = None


@dataclass(frozen=True)
class Content:
    """What a version is made of. `container_image`: its pinned name; None: the platform's own."""

    container_image: str | None
    base_prompt: str
    defaults: dict[str, Any]
    reference_file_ids: list[str]
    skills: list[str]
