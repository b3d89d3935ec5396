"""The dataclasses of accounts, API keys and provider keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from agentcontainer.domain.accounts.principal import Grant, Limits, Role
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.providers import WireProtocol

BillingMode = Literal["standard", "unlimited_grant"]

SUSPENDED = "This account is suspended. Ask the operator of this installation."


@dataclass(frozen=True)
class Account:
    """Owns agents, tasks, files and keys, and holds the balance."""

    id: str
    name: str
    email: str | None
    billing_mode: BillingMode
    balance_micro_usd: int
    held_micro_usd: int
    usage_metadata_keys: list[str]
    created_at: datetime
    is_operator: bool
    suspended_at: datetime | None
    low_balance_micro_usd: int | None
    max_cost_micro_usd_per_day: int | None
    max_priority: int | None


@dataclass(frozen=True)
class NewAccount:
    """An account about to be inserted, with a balance of 0."""

    id: str
    name: str
    email: str | None
    billing_mode: BillingMode
    is_operator: bool = False


@dataclass(frozen=True)
class ApiKey:
    """An API key without the key itself, of which only a hash is stored. `last4` None: an older key."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    last4: str | None
    grant: Grant

    @property
    def role(self) -> Role:
        return self.grant.role

    @property
    def agent_ids(self) -> Sequence[str] | None:
        return None if self.grant.agent_ids is None else sorted(self.grant.agent_ids)

    @property
    def limits(self) -> Limits:
        return self.grant.limits

    @property
    def expires_at(self) -> datetime | None:
        return self.grant.expires_at


@dataclass(frozen=True)
class NewApiKey:
    """An API key about to be inserted."""

    id: str
    account_id: str
    name: str
    key_hash: bytes
    last4: str
    grant: Grant


@dataclass(frozen=True)
class KeyOwner:
    """Whose API key it is, and what it may do. `is_use_due`: its last use was recorded more than a minute ago."""

    key_id: str
    account_id: str
    is_use_due: bool
    is_expired: bool
    is_operator: bool
    is_suspended: bool
    grant: Grant


@dataclass(frozen=True)
class OwnEndpoint:
    """An account's own endpoint of models: address, protocol and token prices. `rates` None: they are not known."""

    base_url: str
    protocol: WireProtocol
    rates: Rates | None = None


@dataclass(frozen=True)
class ProviderKey:
    """A stored provider key without the key itself. `endpoint` None: it is for a provider of the platform."""

    provider: str
    last4: str
    created_at: datetime
    endpoint: OwnEndpoint | None = None


@dataclass(frozen=True)
class SealedProviderKey:
    """A provider key about to be stored, encrypted. `ciphertext` None: an own endpoint without a key."""

    account_id: str
    provider: str
    ciphertext: bytes | None
    last4: str
    endpoint: OwnEndpoint | None = None


@dataclass(frozen=True)
class OpenProviderKey:
    """A provider key in plain text, with the endpoint that was stored in the same row."""

    key: str | None = field(repr=False)
    endpoint: OwnEndpoint | None = None
