"""The dataclasses of how tasks run: an agent's defaults, a task's overrides, and the execution that results."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from agentcontainer.domain.unset import UNSET, Unset

PolicyMode = Literal["any", "none", "at_least_one", "named"]
RuntimeRegion = Literal["eu", "any"]
OnReached = Literal["fail", "pause"]


@dataclass(frozen=True)
class NamedOutput:
    """One output that a `named` policy asks for. None in any field: the client did not send it."""

    name: str
    required: bool | None = None
    content_type: str | None = None
    max_bytes: int | None = None
    json_schema: dict[str, Any] | bool | None = None

    @property
    def is_required(self) -> bool:
        return self.required is not False


@dataclass(frozen=True)
class OutputPolicy:
    """Which files a task must, or must not, produce."""

    mode: PolicyMode = "any"
    files: tuple[NamedOutput, ...] = ()


@dataclass(frozen=True)
class Budget:
    """What a task's model requests may use, in all attempts together. None: no limit.

    `on_reached`: whether a task whose budget is used up fails, or waits until the budget is raised.
    """

    max_cost_micro_usd: int | None = None
    max_tokens: int | None = None
    on_reached: OnReached = "fail"

    @property
    def is_pausing(self) -> bool:
        return self.on_reached == "pause"

    def percent_used(self, tokens: int, micro_usd: int) -> float:
        """How much of the limit that is nearer is used, in percent."""
        shares = ((micro_usd, self.max_cost_micro_usd), (tokens, self.max_tokens))
        return max((100 * used / limit for used, limit in shares if limit), default=0.0)

    def changed(self, other: "Budget") -> "Budget":
        """This budget with the limits that `other` has."""
        cost, tokens = other.max_cost_micro_usd, other.max_tokens
        return replace(
            self,
            max_cost_micro_usd=self.max_cost_micro_usd if cost is None else cost,
            max_tokens=self.max_tokens if tokens is None else tokens,
        )


@dataclass(frozen=True)
class Choices:
    """The fields that an agent's defaults and a task's overrides share.

    UNSET: the value of the layer below applies. None: the platform's default applies.
    """

    provider: str | Unset | None = UNSET
    model: str | Unset | None = UNSET
    weak_model: str | Unset | None = UNSET
    internet_access: bool | Unset | None = UNSET
    max_runtime_seconds: int | Unset | None = UNSET
    soft_finish_after_seconds: int | Unset | None = UNSET
    output_policy: OutputPolicy | Unset | None = UNSET
    runtime_region: RuntimeRegion | Unset | None = UNSET


@dataclass(frozen=True)
class DefaultsChange(Choices):
    """What a client changes in an agent's defaults."""

    session_ttl_seconds: int | Unset | None = UNSET


@dataclass(frozen=True)
class Overrides(Choices):
    """The settings of one task that replace its agent's defaults. The API turns a null override into UNSET."""

    runtime: Literal["pi"] | Unset = UNSET
    budget: Budget | Unset = UNSET
    egress: tuple[str, ...] | Unset = UNSET
    """The only hosts that the task may connect to: entries as in egress.py."""
    priority: int | Unset = UNSET
    """The task's place among its account's own: the higher, the earlier."""
    callback_url: str | Unset = UNSET
    """Gets the task's events, as a webhook for this task."""

    @property
    def effective_priority(self) -> int:
        return 0 if isinstance(self.priority, Unset) else self.priority

    def updated(self, later: "Overrides") -> "Overrides":
        """These overrides with the fields that `later` sets replaced.

        `egress` restricts internet access, so it is dropped when `later` turns internet access off.
        """
        values = {field.name: getattr(later, field.name) for field in fields(later)}
        merged = replace(self, **{name: value for name, value in values.items() if value is not UNSET})
        if later.internet_access is False and later.egress is UNSET:
            return replace(merged, egress=UNSET)
        return merged


@dataclass(frozen=True)
class AgentDefaults:
    """The settings of an agent version's tasks, where their overrides set none."""

    provider: str
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    session_ttl_seconds: int
    output_policy: OutputPolicy
    runtime_region: RuntimeRegion


@dataclass(frozen=True)
class Execution:
    """What a task runs with: its overrides over the defaults of its agent version."""

    provider: str
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    output_policy: OutputPolicy
    runtime_region: RuntimeRegion
    budget: Budget | None = None
    egress: tuple[str, ...] | None = None
    """The only hosts that the task may connect to, as in egress.py. None: with internet access, all public hosts."""
