"""The routes of the account."""

from typing import Annotated

from pydantic import Field

from agentcontainer.api.http.access import Agents, Level, access, administers
from agentcontainer.api.http.auth import Acting, Caller
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.accounts import AccountChange, AccountLimits, BillingMode
from agentcontainer.api.schemas.api_keys import KeyRole
from agentcontainer.api.wire import Outgoing, Timestamp, Usd, usd
from agentcontainer.domain.accounts import administration, service
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.files import quota
from agentcontainer.errors import ValidationError

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
    role: Annotated[KeyRole, Field(description="Of the API key that you use.")]
    is_operator: Annotated[bool, Field(description="Whether the account operates the installation.")]
    held_usd: Annotated[Usd, Field(description="What is held for live tasks.")]
    low_balance_usd: Annotated[
        Usd | None,
        Field(description="Below this balance the feed gets the event `balance.low`. Null: never."),
    ]
    usage_metadata_keys: Annotated[
        list[str], Field(description="Keys of the tasks' metadata by which `GET /usage` can sum.")
    ]
    limits: Annotated[AccountLimits, Field(description="What the operator allows the account.")]


@router.get("/account")
@access(Level.READS, Agents.INDEPENDENT)
async def get_account(caller: Caller, services: Provided) -> Account:
    """Get the account of the API key, with its balance and its use of storage."""
    return await _account(caller, services)


@router.patch("/account")
@administers
async def change_account(caller: Caller, actor: Acting, services: Provided, body: AccountChange) -> Account:
    """Change the account. Fields that are not sent stay as they are."""
    if not body.model_fields_set:
        raise ValidationError.at("body", "must say what to change")
    await administration.change(services.pool, caller.account_id, body.change(), by=actor)
    return await _account(caller, services)


async def _account(caller: Caller, services: Services) -> Account:
    account_id = caller.account_id
    account = await service.get(services.pool, account_id)
    state = await administration.get_state(services.pool, account_id)
    low = account.low_balance_micro_usd
    settings = services.settings
    file_bytes = await quota.used_bytes(services.pool, account_id)
    checkpoint_bytes = await checkpoints.used_bytes(services.pool, account_id)
    return Account.of(
        account,
        credit_balance=usd(account.balance_micro_usd),
        file_storage=_storage(file_bytes, settings.file_quota_bytes),
        checkpoint_storage=_storage(checkpoint_bytes, settings.checkpoint_quota_bytes),
        role=caller.role,
        held_usd=usd(account.held_micro_usd),
        low_balance_usd=None if low is None else usd(low),
        limits=AccountLimits.of_limits(state.limits),
    )


def _storage(used_bytes: int, quota_bytes: int) -> Storage:
    return Storage(used_bytes=used_bytes, quota_bytes=quota_bytes, is_enforced=quota_bytes > 0)
