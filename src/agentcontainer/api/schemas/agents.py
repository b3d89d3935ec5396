"""The JSON of agents and their versions."""

from typing import Annotated, Any, Self

from pydantic import Field

from agentcontainer.api.schemas.execution import AgentRuntime
from agentcontainer.api.wire import Outgoing, Provider, Region, Timestamp
from agentcontainer.domain.agents import model
from agentcontainer.domain.execution.store import policy_to_json


class Runtime(Outgoing):
    """What an agent runs in (its container image) and on (its agent runtime)."""

    container_image: str | None
    agent_runtime: AgentRuntime = "pi"


class AgentDefaults(Outgoing):
    """What tasks of this version run with unless their overrides say otherwise."""

    provider: Provider
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    session_ttl_seconds: int
    output_policy: Annotated[dict[str, Any], Field(description="As sent.")]
    runtime_region: Region


class AgentVersion(Outgoing):
    """A version of an agent. It never changes."""

    id: str
    agent_id: str
    number: int
    runtime: Runtime
    base_prompt: str
    defaults: AgentDefaults
    reference_file_ids: list[str]
    skills: Annotated[list[str], Field(description="Ids of files: archives of Pi skills.")]
    created_at: Timestamp

    @classmethod
    def of_version(cls, version: model.Version) -> Self:
        """The version as it is sent."""
        policy = policy_to_json(version.defaults.output_policy)
        defaults = AgentDefaults.of(version.defaults, output_policy=policy)
        return cls.of(version, runtime=Runtime.of(version), defaults=defaults)


class Agent(Outgoing):
    """An agent with its current version."""

    id: str
    name: str
    description: str
    current_version: AgentVersion
    is_standard: Annotated[
        bool, Field(description="Ships with the platform: every account may use it, none may change it.")
    ]
    archived_at: Timestamp | None
    created_at: Timestamp

    @classmethod
    def of_agent(cls, agent: model.Agent) -> Self:
        """The agent as it is sent."""
        version = AgentVersion.of_version(agent.current_version)
        return cls.of(agent, current_version=version, is_standard=agent.account_id is None)
