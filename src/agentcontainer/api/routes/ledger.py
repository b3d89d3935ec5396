"""The route that lists the account's ledger."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http import filtering
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import Caller
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Outgoing, Timestamp, Usd, usd
from agentcontainer.domain.accounts.visible import visible_tasks
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.ledger.model import Entry

LedgerEntryKind = TypeAliasType("LedgerEntryKind", Literal["credit", "hold", "release", "charge", "refund"])

router = authenticated("Account")


class LedgerEntry(Outgoing):
    """One movement of money. Entries never change, and their sum is the balance."""

    id: str
    kind: LedgerEntryKind
    amount_usd: Annotated[Usd, Field(description="Added to the balance; negative for a hold and a charge.")]
    task_id: str | None
    balance_after_usd: Annotated[Usd, Field(description="The balance after this entry.")]
    created_at: Timestamp


class LedgerPage(Outgoing):
    """A page of the ledger."""

    data: list[LedgerEntry]
    page_info: PageInfo


@router.get("/account/ledger")
@access(Level.READS, Agents.FILTERED)
async def list_ledger_entries(
    caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]
) -> LedgerPage:
    """List the account's ledger entries, in the order in which they changed the balance.

    A key that is bound to agents sees those of their tasks.
    """
    read = partial(ledger.list_page, services.pool, caller.account_id, is_descending=query.order == "desc")

    async def choose(entries: Sequence[Entry]) -> Sequence[Entry]:
        named = {entry.task_id for entry in entries if entry.task_id is not None}
        seen = await visible_tasks(services.pool, caller, named)
        return [entry for entry in entries if entry.task_id in seen]

    rows, info = await filtering.page(caller, query, "ledger", read, lambda entry: entry.id, choose)
    return LedgerPage(data=[_wire(entry) for entry in rows], page_info=info)


def _wire(entry: Entry) -> LedgerEntry:
    return LedgerEntry.of(
        entry,
        amount_usd=usd(entry.amount_micro_usd),
        balance_after_usd=usd(entry.balance_after_micro_usd),
    )
