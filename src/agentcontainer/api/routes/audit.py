"""The route that lists the account's entries of the audit log."""

from typing import Annotated

from fastapi import Query

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import Caller
from agentcontainer.api.http.paging import PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.audit import AuditPage
from agentcontainer.domain.audit import store

router = authenticated("Account")


@router.get("/account/audit")
@access(Level.READS, Agents.FILTERED)
async def list_audit_entries(
    caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]
) -> AuditPage:
    """List who changed what in the account: logins, keys, credit, deletions, and what an operator did to it.

    A key that is bound to agents sees only what it did itself.
    """
    page = await store.list_page(
        services.pool, caller.account_id, actor_id=None if caller.agent_ids is None else caller.id,
        after_id=paging.position("audit", query), limit=query.limit, is_descending=query.order == "desc",
    )  # fmt: skip
    return AuditPage.of_page("audit", page)
