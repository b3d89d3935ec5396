"""The route of the account."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Outgoing, Timestamp, Usd, usd
from agentcontainer.domain.accounts import service
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.files import quota

BillingMode = TypeAliasType("BillingMode", Literal["standard", "unlimited_grant"])

router = authenticated("Account")


class Storage(Outgoing):
    """Stored bytes and their quota."""

    used_bytes: int
    quota_bytes: int
    is_enforced: Annotated[bool, Field(description="False: there is no quota.")]


class Account(Outgoing):
    """The account of the API key."""

    id: str
    name: str
    email: str | None
    credit_balance: Annotated[Usd, Field(description="Prepaid US dollars, less what is held for live tasks.")]
    billing_mode: BillingMode
    file_storage: Storage
    checkpoint_storage: Storage
    created_at: Timestamp


@router.get("/account")
@access(Level.READS, Agents.INDEPENDENT)
async def get_account(account_id: AccountId, services: Provided) -> Account:
    """Get the account of the API key, with its balance and its use of storage."""
    account = await service.get(services.pool, account_id)
    settings = services.settings
    file_bytes = await quota.used_bytes(services.pool, account_id)
    checkpoint_bytes = await checkpoints.used_bytes(services.pool, account_id)
    return Account.of(
        account,
        credit_balance=usd(account.balance_micro_usd),
        file_storage=_storage(file_bytes, settings.file_quota_bytes),
        checkpoint_storage=_storage(checkpoint_bytes, settings.checkpoint_quota_bytes),
    )


def _storage(used_bytes: int, quota_bytes: int) -> Storage:
    return Storage(used_bytes=used_bytes, quota_bytes=quota_bytes, is_enforced=quota_bytes > 0)
