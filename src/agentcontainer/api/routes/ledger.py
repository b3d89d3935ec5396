"""The account's ledger: every movement of its money."""

from typing import Annotated, Literal

from fastapi import Depends
from pydantic import Field

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Outgoing, Timestamp, Usd, usd
from agentcontainer.domain.ledger import service as ledger

router = authenticated()


class LedgerEntry(Outgoing):
    """One movement. Entries are never changed; their sum is the balance."""

    id: str
    kind: Literal["credit", "hold", "release", "charge", "refund"]
    amount_usd: Annotated[Usd, Field(description="What it adds; a hold and a charge are negative.")]
    task_id: str | None
    balance_after_usd: Annotated[Usd, Field(description="The balance once this entry was made.")]
    created_at: Timestamp


class LedgerPage(Outgoing):
    """A page of the ledger."""

    data: list[LedgerEntry]
    page_info: PageInfo


@router.get("/account/ledger")
async def list_ledger_entries(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Depends(Query(PageQuery))]
) -> LedgerPage:
    """The account's entries, in the order in which they changed the balance."""
    page = await ledger.list_page(
        services.pool,
        account_id,
        after_id=paging.position("ledger", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("ledger", page, lambda entry: entry.id)
    return LedgerPage(data=[_wire(entry) for entry in page.rows], page_info=info)


def _wire(entry: ledger.Entry) -> LedgerEntry:
    return LedgerEntry.model_validate(
        {
            "id": entry.id,
            "kind": entry.kind,
            "amount_usd": usd(entry.amount_micro_usd),
            "task_id": entry.task_id,
            "balance_after_usd": usd(entry.balance_after_micro_usd),
            "created_at": entry.created_at,
        }
    )
