"""Who sends a request, and what it may do: an API key, a browser session, or the operator's command line."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["viewer", "member"]
PrincipalKind = Literal["key", "session", "cli"]


@dataclass(frozen=True)
class Limits:
    """What a key may use on one UTC day, and the highest priority that it may give a task. None: no limit."""

    cost_micro_usd_per_day: int | None = None
    tasks_per_day: int | None = None
    max_priority: int | None = None

    @property
    def cost_usd_per_day(self) -> float | None:
        cost = self.cost_micro_usd_per_day
        return None if cost is None else cost / 1_000_000

    def is_within(self, other: "Limits") -> bool:
        """Whether no limit is missing or higher than that of `other`."""
        pairs = (
            (self.cost_micro_usd_per_day, other.cost_micro_usd_per_day),
            (self.tasks_per_day, other.tasks_per_day),
            (self.max_priority, other.max_priority),
        )
        return all(theirs is None or (ours is not None and ours <= theirs) for ours, theirs in pairs)


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Grant:
    """What a key may do. A session has the grant of its key. `agent_ids` None: all agents of the account."""

    role: Role = "member"
    agent_ids: frozenset[str] | None = None
    limits: Limits = NO_LIMITS
    expires_at: datetime | None = None

    @property
    def is_restricted(self) -> bool:
        """Whether it is bound to agents or limits, and so may not administer the account."""
        return self.agent_ids is not None or self.limits != NO_LIMITS

    def is_within(self, other: "Grant") -> bool:
        """Whether it allows nothing that `other` does not allow."""
        return (
            (self.role == "viewer" or other.role == "member")
            and _is_subset(self.agent_ids, other.agent_ids)
            and self.limits.is_within(other.limits)
            and (
                other.expires_at is None
                or (self.expires_at is not None and self.expires_at <= other.expires_at)
            )
        )


FULL = Grant()  # everything that the account may, for ever


@dataclass(frozen=True)
class Principal:
    """The sender of a request.

    `id`: of the key or session. `key_id`: the key whose limits its dispatches use up, and which its tasks name. None:
    the command line.
    """

    account_id: str
    kind: PrincipalKind
    id: str
    key_id: str | None
    grant: Grant
    is_operator: bool = False

    @property
    def role(self) -> Role:
        return self.grant.role

    @property
    def agent_ids(self) -> frozenset[str] | None:
        """The agents that exist for it. None: all of the account."""
        return self.grant.agent_ids

    @property
    def limits(self) -> Limits:
        return self.grant.limits

    @property
    def expires_at(self) -> datetime | None:
        return self.grant.expires_at

    @property
    def is_member(self) -> bool:
        """Whether it may change things, and see links and secrets that change things."""
        return self.grant.role == "member"

    def sees_agent(self, agent_id: str) -> bool:
        """Whether the agent exists for it, as far as its key is concerned."""
        return self.grant.agent_ids is None or agent_id in self.grant.agent_ids

    def visible_agents(self) -> list[str] | None:
        """`agent_ids` as a parameter of SQL."""
        return None if self.grant.agent_ids is None else sorted(self.grant.agent_ids)


def _is_subset(ours: Set[str] | None, theirs: Set[str] | None) -> bool:
    return theirs is None or (ours is not None and ours <= theirs)
