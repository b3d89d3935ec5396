"""The JSON of accounts as operators see and change them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator
from typing_extensions import TypeAliasType

from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.http.query import from_boolean, from_iso_time
from agentcontainer.api.schemas.dispatch import MAX_PRIORITY
from agentcontainer.api.wire import (
    LINE_PATTERN,
    Incoming,
    Line,
    Outgoing,
    Timestamp,
    Usd,
    check_line,
    from_whole_number,
    usd,
)
from agentcontainer.domain.accounts import administration
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.domain.usage.model import MAX_METADATA_KEYS

BillingMode = TypeAliasType("BillingMode", Literal["standard", "unlimited_grant"])
MAX_USD = 10**9
MAX_TASKS = 2**31 - 1


def _check_cents(value: float) -> float:
    exponent = Decimal(repr(value)).as_tuple().exponent
    if isinstance(exponent, int) and exponent < -6:
        raise ValueError("must have at most 6 decimals")
    return value


Email = Annotated[
    str, Field(min_length=3, max_length=254, pattern="^[!-?A-~]+@[!-?A-~]+$", description="Not verified.")
]
Money = Annotated[float, Field(ge=0, le=MAX_USD, allow_inf_nan=False), AfterValidator(_check_cents)]
Count = Annotated[int, Field(ge=0, le=MAX_TASKS), from_whole_number]


def micro_usd(value: float | None) -> int | None:
    """US dollars as micro-dollars."""
    return None if value is None else int(Decimal(repr(value)) * 1_000_000)


class AccountLimits(Outgoing):
    """What the operator allows the account. Null: no limit."""

    running_tasks: int | None
    queued_tasks: int | None
    cost_usd_per_day: float | None
    max_priority: int | None

    @classmethod
    def of_limits(cls, limits: administration.AccountLimits) -> Self:
        """The limits as they are sent."""
        cost = limits.cost_micro_usd_per_day
        return cls.of(limits, cost_usd_per_day=None if cost is None else usd(cost))


class InstalledAccount(Outgoing):
    """An account of the installation."""

    id: str
    name: str
    email: str | None
    billing_mode: BillingMode
    credit_balance: Usd
    is_operator: bool
    suspended_at: Timestamp | None
    limits: AccountLimits
    running_tasks: int
    queued_tasks: int
    api_keys: Annotated[int, Field(description="How many keys it has that are not revoked.")]
    created_at: Timestamp

    @classmethod
    def of_state(cls, state: administration.AccountState) -> Self:
        """The account as it is sent."""
        return cls.of(
            state, credit_balance=usd(state.balance_micro_usd), limits=AccountLimits.of_limits(state.limits)
        )


class InstalledAccountPage(Outgoing):
    """A page of accounts."""

    data: list[InstalledAccount]
    page_info: PageInfo


class NewInstalledAccount(Outgoing):
    """A new account, with its first API key, which is shown this once."""

    account: InstalledAccount
    api_key: str


class AccountRequest(Incoming):
    """A new account."""

    name: Line
    email: Email | None = None
    credit_usd: Annotated[Money | None, Field(description="Prepaid credit to start with.")] = None
    is_unlimited: Annotated[
        bool, Field(description="Never charged, and never blocked for lack of credit.")
    ] = False


class AccountLimitsInput(Incoming):
    """Changes of the limits. A limit that is not given stays; null removes it."""

    running_tasks: Count | None = None
    queued_tasks: Count | None = None
    cost_usd_per_day: Annotated[
        Money | None,
        Field(
            description="What its tasks may cost on a day, in UTC: container time and model requests, and the holds "
            "of live tasks."
        ),
    ] = None
    max_priority: Annotated[int, Field(ge=0, le=MAX_PRIORITY), from_whole_number] | None = None

    def change(self) -> administration.LimitChange:
        """The changes as the domain takes them."""
        fields = self.model_fields_set
        return administration.LimitChange(
            self.running_tasks if "running_tasks" in fields else UNSET,
            self.queued_tasks if "queued_tasks" in fields else UNSET,
            micro_usd(self.cost_usd_per_day) if "cost_usd_per_day" in fields else UNSET,
            max_priority=self.max_priority if "max_priority" in fields else UNSET,
        )


class InstalledAccountChange(Incoming):
    """Changes of an account by an operator."""

    name: Line | None = None
    limits: AccountLimitsInput | None = None
    suspended_at: (
        Annotated[
            datetime,
            from_iso_time,
            Field(
                description="A time suspends the account from now on: its requests are refused, and its pending tasks "
                "wait. Tasks that run go on. Null ends that."
            ),
        ]
        | None
    ) = None

    def change(self) -> administration.AccountChange:
        """The changes as the domain takes them."""
        return administration.AccountChange(
            name=UNSET if self.name is None else self.name,
            limits=administration.LimitChange() if self.limits is None else self.limits.change(),
            is_suspended=self.suspended_at is not None if "suspended_at" in self.model_fields_set else UNSET,
        )


class CreditRequest(Incoming):
    """Credit to add."""

    amount_usd: Annotated[float, Field(gt=0, le=MAX_USD, allow_inf_nan=False), AfterValidator(_check_cents)]


class CancelledTasks(Outgoing):
    """How many tasks were cancelled, and how many have not ended yet."""

    cancelled: int
    remaining: int


class DeletionQuery(Incoming):
    """How the account is deleted."""

    without_export: Annotated[
        bool, Field(description="Delete it although no export has all that it has."), from_boolean
    ] = False


class Balance(Outgoing):
    """The balance of an account."""

    credit_balance: Usd


def _without_comma(key: str) -> str:
    if "," in key:
        raise ValueError("must not hold a comma, which separates the values of `by`")
    return key


MetadataKey = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra={"pattern": LINE_PATTERN}),
    AfterValidator(check_line),
    AfterValidator(_without_comma),
]


class AccountChange(Incoming):
    """Changes of the account by itself. What is not given stays; null removes the email or the threshold."""

    name: Line | None = None
    email: Email | None = None
    low_balance_usd: Annotated[
        Money | None,
        Field(
            description="When the balance falls below this, the feed gets the event `balance.low`. Null: never."
        ),
    ] = None
    usage_metadata_keys: Annotated[
        list[MetadataKey] | None,
        Field(
            max_length=MAX_METADATA_KEYS,
            description="Keys of the tasks' metadata by which `GET /usage` can sum. They count what is used from now "
            "on.",
        ),
    ] = None

    @field_validator("usage_metadata_keys")
    @classmethod
    def _check_keys(cls, keys: list[str] | None) -> list[str] | None:
        if keys is not None and len(set(keys)) < len(keys):
            raise ValueError("must not hold a key twice")
        return keys

    def change(self) -> administration.AccountChange:
        """The changes as the domain takes them."""
        fields = self.model_fields_set
        low: int | Unset | None = micro_usd(self.low_balance_usd) if "low_balance_usd" in fields else UNSET
        return administration.AccountChange(
            name=UNSET if self.name is None else self.name,
            email=self.email if "email" in fields else UNSET,
            low_balance_micro_usd=low,
            usage_metadata_keys=UNSET if self.usage_metadata_keys is None else self.usage_metadata_keys,
        )
