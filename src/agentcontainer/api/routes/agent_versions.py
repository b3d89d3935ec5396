"""The versions of an agent: what each was, and which one new tasks get."""

from typing import Annotated

from fastapi import Depends, Path

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import NoBody
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.agents import Agent, AgentId, AgentVersion, wire_agent, wire_version
from agentcontainer.api.wire import Outgoing
from agentcontainer.domain.agents import service

router = authenticated()
VersionId = Annotated[str, Path(alias="versionId")]


class AgentVersionPage(Outgoing):
    """A page of versions."""

    data: list[AgentVersion]
    page_info: PageInfo


@router.get("/agents/{agentId}/versions")
async def list_agent_versions(
    agent_id: AgentId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[PageQuery, Depends(Query(PageQuery))],
) -> AgentVersionPage:
    """The agent's versions, by number."""
    page = await service.list_versions(
        services.pool,
        account_id,
        agent_id,
        after_number=paging.sequence("versions", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("versions", page, lambda version: str(version.number))
    return AgentVersionPage(data=[wire_version(version) for version in page.rows], page_info=info)


@router.get("/agents/{agentId}/versions/{versionId}")
async def get_agent_version(
    agent_id: AgentId, version_id: VersionId, account_id: AccountId, services: Provided
) -> AgentVersion:
    """A version of the agent."""
    return wire_version(await service.get_version(services.pool, account_id, agent_id, version_id))


@router.post("/agents/{agentId}/versions/{versionId}/activate", responses={403: {}})
async def activate_agent_version(
    agent_id: AgentId, version_id: VersionId, account_id: AccountId, services: Provided, _body: NoBody
) -> Agent:
    """Make a version of the agent current: new tasks that name none get it."""
    return wire_agent(await service.activate(services.pool, account_id, agent_id, version_id))
