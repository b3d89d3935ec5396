"""The JSON of API keys, and of what they may do."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http.query import from_iso_time
from agentcontainer.api.schemas.accounts import Money, micro_usd
from agentcontainer.api.schemas.dispatch import MAX_PRIORITY
from agentcontainer.api.wire import (
    LINE_PATTERN,
    Id,
    Incoming,
    Outgoing,
    Timestamp,
    check_line,
    from_whole_number,
)
from agentcontainer.domain.accounts import model
from agentcontainer.domain.accounts.keys import KeyChange
from agentcontainer.domain.accounts.principal import NO_LIMITS, Grant, Limits
from agentcontainer.domain.unset import UNSET

MAX_AGENTS = 100
MAX_TASKS_PER_DAY = 10**6

KeyRole = TypeAliasType("KeyRole", Literal["viewer", "member"])
KeyName = Annotated[
    str,
    Field(
        min_length=1, max_length=100, json_schema_extra={"pattern": LINE_PATTERN},
        description="What the key is for. Two keys may have the same name.",
    ),
    AfterValidator(check_line),
]  # fmt: skip
Role = Annotated[KeyRole, Field(description="`viewer` reads, `member` also acts. Default: `member`.")]
AgentIds = Annotated[
    list[Id],
    Field(
        min_length=1,
        max_length=MAX_AGENTS,
        description="Only these agents, their tasks and files exist for the key.",
    ),
]
ExpiresAt = Annotated[
    datetime, from_iso_time, Field(description="From then on the key is refused. No later than your own key.")
]


class KeyLimitsInput(Incoming):
    """What the key may use on a day, in UTC. A limit that is null or not given does not hold."""

    cost_usd_per_day: Annotated[
        Money | None,
        Field(
            description="What its tasks may cost: container time and model requests, and the holds of live tasks."
        ),
    ] = None
    tasks_per_day: Annotated[
        Annotated[int, Field(ge=0, le=MAX_TASKS_PER_DAY), from_whole_number] | None,
        Field(description="New tasks, each of a batch, and further turns of conversations."),
    ] = None
    max_priority: Annotated[
        Annotated[int, Field(ge=0, le=MAX_PRIORITY), from_whole_number] | None,
        Field(description="The highest `overrides.priority`."),
    ] = None

    def limits(self) -> Limits:
        """The limits as the domain holds them."""
        return Limits(micro_usd(self.cost_usd_per_day), self.tasks_per_day, self.max_priority)


class ApiKeyRequest(Incoming):
    """A new API key."""

    name: KeyName
    role: Role | None = None
    agent_ids: AgentIds | None = None
    expires_at: ExpiresAt | None = None
    limits: KeyLimitsInput | None = None

    def grant(self) -> Grant:
        """What the key may do."""
        return Grant(
            self.role or "member",
            None if self.agent_ids is None else frozenset(self.agent_ids),
            NO_LIMITS if self.limits is None else self.limits.limits(),
            self.expires_at,
        )


class ApiKeyChange(Incoming):
    """The changes to an API key. Fields that are not given keep their values; null removes a bound."""

    name: KeyName | None = None
    role: Role | None = None
    agent_ids: AgentIds | None = None
    expires_at: ExpiresAt | None = None
    limits: KeyLimitsInput | None = None

    def change(self) -> KeyChange:
        """The change as the domain takes it."""
        fields = self.model_fields_set
        limits = NO_LIMITS if self.limits is None else self.limits.limits()
        agent_ids = None if self.agent_ids is None else frozenset(self.agent_ids)
        return KeyChange(
            name=UNSET if self.name is None else self.name,
            role=UNSET if self.role is None else self.role,
            agent_ids=agent_ids if "agent_ids" in fields else UNSET,
            limits=limits if "limits" in fields else UNSET,
            expires_at=self.expires_at if "expires_at" in fields else UNSET,
        )


class KeyLimits(Outgoing):
    """What the key may use on a day, in UTC. Null: no limit."""

    cost_usd_per_day: float | None
    tasks_per_day: int | None
    max_priority: int | None


class _Grant(Outgoing):
    role: KeyRole
    agent_ids: Annotated[
        list[str] | None, Field(description="The agents that exist for the key. Null: all of the account.")
    ]
    limits: KeyLimits
    expires_at: Timestamp | None
    last4: Annotated[str | None, Field(description="The key's last four characters. Null for older keys.")]


class ApiKey(_Grant):
    """An API key, without the key itself."""

    id: str
    name: str
    created_at: Timestamp
    last_used_at: Annotated[Timestamp | None, Field(description="To the minute.")]


class NewApiKey(_Grant):
    """A new API key, shown in full this once."""

    id: str
    name: str
    key: Annotated[str, Field(description="`ac_live_…`. Keep it: only its hash is stored.")]
    created_at: Timestamp

    @classmethod
    def of_key(cls, stored: model.ApiKey, key: str) -> Self:
        """The key as it is sent once."""
        return cls.of(stored, key=key)

    @staticmethod
    def id_in(response: str) -> str:
        """The id of the key in a response that was sent."""
        return _Identified.model_validate_json(response).id


class _Identified(BaseModel):
    id: str
