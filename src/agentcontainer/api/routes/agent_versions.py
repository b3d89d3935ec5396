"""The routes of an agent's versions."""

from typing import Annotated

from fastapi import Query

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import administers, reads
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.agents import Agent, AgentVersion
from agentcontainer.api.schemas.ids import AgentId, VersionId
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.agents import service

router = authenticated("Agents")


class AgentVersionPage(Outgoing):
    """A page of agent versions."""

    data: list[AgentVersion]
    page_info: PageInfo


@router.get("/agents/{agentId}/versions")
@reads
async def list_agent_versions(
    agent_id: AgentId, account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> AgentVersionPage:
    """List the versions of an agent, by number."""
    page = await service.list_versions(
        services.pool,
        account_id,
        agent_id,
        after_number=paging.sequence("versions", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("versions", page, lambda version: str(version.number))
    return AgentVersionPage(data=[AgentVersion.of_version(version) for version in page.rows], page_info=info)


@router.get("/agents/{agentId}/versions/{versionId}")
@reads
async def get_agent_version(
    agent_id: AgentId, version_id: VersionId, account_id: AccountId, services: Provided
) -> AgentVersion:
    """Get a version of an agent."""
    version = await service.get_version(services.pool, account_id, agent_id, version_id)
    return AgentVersion.of_version(version)


@router.post("/agents/{agentId}/versions/{versionId}/activate", responses={403: {}})
@administers
async def activate_agent_version(
    agent_id: AgentId,
    version_id: VersionId,
    account_id: AccountId,
    services: Provided,
    _body: NoFields = NO_FIELDS,
) -> Agent:
    """Make a version of an agent current: tasks that name no version get it."""
    return Agent.of_agent(await service.activate(services.pool, account_id, agent_id, version_id))
