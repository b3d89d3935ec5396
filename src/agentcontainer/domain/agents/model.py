"""The dataclasses of agents: an agent, its versions, and a client's change to it."""

from dataclasses import dataclass, field
from datetime import datetime

from agentcontainer.domain.execution.model import AgentDefaults, DefaultsChange
from agentcontainer.domain.unset import UNSET, Unset


@dataclass(frozen=True)
class Content:
    """The settings in a version. `container_image` is pinned to a digest; None: the host's system folders. `skills`
    and `reference_file_ids` are file ids."""

    container_image: str | None
    base_prompt: str
    defaults: AgentDefaults
    reference_file_ids: list[str]
    skills: list[str]


@dataclass(frozen=True)
class Version(Content):
    """One version of an agent. It never changes."""

    id: str
    agent_id: str
    number: int
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


@dataclass(frozen=True)
class NewAgent:
    """An agent about to be inserted, before its first version."""

    id: str
    account_id: str
    name: str
    description: str
    current_version_id: str


@dataclass(frozen=True)
class Change:
    """What a client sets in a new or an existing agent. None: not sent."""

    name: str | None = None
    description: str | None = None
    container_image: str | Unset | None = UNSET
    """None: the host's system folders instead of an image."""
    base_prompt: str | None = None
    defaults: DefaultsChange = field(default_factory=DefaultsChange)
    reference_file_ids: list[str] | None = None
    skills: list[str] | None = None
