"""The JSON of the audit log."""

from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http import paging
from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.db import Page
from agentcontainer.domain.audit import model

ActorKind = TypeAliasType("ActorKind", Literal["key", "session", "cli", "link", "platform"])


class Actor(Outgoing):
    """Who did it."""

    kind: ActorKind
    id: Annotated[
        str | None,
        Field(description="Of the key, session or link. `cli`: a user of the host that ran a command."),
    ]
    account_id: Annotated[
        str | None, Field(description="The account of the actor: another one if it is an operator.")
    ]


class AuditEntry(Outgoing):
    """One act. Entries never change."""

    id: str
    at: Timestamp
    actor: Actor
    action: Annotated[str, Field(description="Such as `api_key.created`; later versions have more.")]
    target: Annotated[str | None, Field(description="What it was done to: an id or a name, never a value.")]
    account_id: Annotated[
        str | None, Field(description="The account that it concerns. Null: the installation.")
    ]
    address: Annotated[str | None, Field(description="The IP address of the actor.")]
    request_id: str | None


class AuditPage(Outgoing):
    """A page of the audit log."""

    data: list[AuditEntry]
    page_info: PageInfo

    @classmethod
    def of_page(cls, list_name: str, page: Page[model.AuditEntry]) -> Self:
        """The page as it is sent."""
        return cls(
            data=[_entry(entry) for entry in page.rows],
            page_info=paging.page_info(list_name, page, lambda entry: entry.id),
        )


def _entry(entry: model.AuditEntry) -> AuditEntry:
    return AuditEntry.of(entry, address=entry.actor.address, request_id=entry.actor.request_id)
