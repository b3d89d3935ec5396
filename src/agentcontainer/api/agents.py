"""Agents with their current version, as clients read them."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path

from agentcontainer.api import paging
from agentcontainer.api.auth import AccountId
from agentcontainer.api.paging import PageInfo, PageQuery
from agentcontainer.api.query import Query
from agentcontainer.api.routing import authenticated
from agentcontainer.api.services import Provided
from agentcontainer.api.wire import Outgoing, Provider, Timestamp
from agentcontainer.domain.agents import service

router = authenticated()


class Runtime(Outgoing):
    """What an agent runs in, and on."""

    container_image: str | None
    agent_runtime: Literal["pi"] = "pi"


class AgentDefaults(Outgoing):
    """What a task of this version runs with where its overrides say nothing."""

    provider: Provider
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int | None
    soft_finish_after_seconds: int | None
    session_ttl_seconds: int | None
    output_policy: dict[str, Any]
    runtime_region: Literal["eu", "any"]


class AgentVersion(Outgoing):
    """One immutable version of an agent."""

    id: str
    agent_id: str
    number: int
    runtime: Runtime
    base_prompt: str
    defaults: AgentDefaults
    reference_file_ids: list[str]
    skills: list[Any]
    created_at: Timestamp


class Agent(Outgoing):
    """An agent. A standard one ships with the platform: all may read and use it, none may edit it."""

    id: str
    name: str
    description: str
    current_version: AgentVersion
    is_standard: bool
    archived_at: Timestamp | None
    created_at: Timestamp


class AgentPage(Outgoing):
    """A page of agents."""

    data: list[Agent]
    page_info: PageInfo


@router.get("/agents")
async def list_agents(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Depends(Query(PageQuery))]
) -> AgentPage:
    """The account's agents and the standard ones."""
    rows = await service.list_page(
        services.pool,
        account_id,
        after_id=paging.position("agents", query),
        limit=query.limit + 1,
        is_descending=query.order == "desc",
    )
    page, info = paging.cut("agents", rows, query.limit, lambda agent: agent.id)
    return AgentPage(data=[_wire(agent) for agent in page], page_info=info)


@router.get("/agents/{agentId}")
async def get_agent(
    agent_id: Annotated[str, Path(alias="agentId")], account_id: AccountId, services: Provided
) -> Agent:
    """An agent with its current version."""
    return _wire(await service.get(services.pool, account_id, agent_id))


def _wire(agent: service.Agent) -> Agent:
    return Agent(
        id=agent.id,
        name=agent.name,
        description=agent.description,
        current_version=_wire_version(agent.current_version),
        is_standard=agent.account_id is None,
        archived_at=agent.archived_at,
        created_at=agent.created_at,
    )


def _wire_version(version: service.Version) -> AgentVersion:
    stored = version.defaults
    defaults = AgentDefaults(
        provider=stored["provider"],
        model=stored["model"],
        weak_model=stored.get("weakModel"),
        internet_access=stored.get("internetAccess", False),
        max_runtime_seconds=stored.get("maxRuntimeSeconds"),
        soft_finish_after_seconds=stored.get("softFinishAfterSeconds"),
        session_ttl_seconds=stored.get("sessionTtlSeconds"),
        output_policy=stored.get("outputPolicy") or {"mode": "any"},
        runtime_region=stored.get("runtimeRegion") or "any",
    )
    return AgentVersion(
        id=version.id,
        agent_id=version.agent_id,
        number=version.number,
        runtime=Runtime(container_image=version.container_image),
        base_prompt=version.base_prompt,
        defaults=defaults,
        reference_file_ids=version.reference_file_ids,
        skills=version.skills,
        created_at=version.created_at,
    )
