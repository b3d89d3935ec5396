"""The JSON form in which execution, overrides and defaults are stored: camelCase, without the fields that are not set.

Rows of every earlier version hold this form, so it must not change.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, cast

from agentcontainer.domain.execution.model import (
    AgentDefaults,
    Budget,
    Execution,
    NamedOutput,
    OnReached,
    OutputPolicy,
    Overrides,
    PolicyMode,
    RuntimeRegion,
)
from agentcontainer.domain.unset import UNSET

_MICRO = 1_000_000


class StoredOutput(TypedDict):
    name: str
    required: NotRequired[bool]
    contentType: NotRequired[str]
    maxBytes: NotRequired[int]
    jsonSchema: NotRequired[dict[str, Any] | bool]


class StoredPolicy(TypedDict):
    """Such as `{"mode": "named", "files": [{"name": "report"}]}`."""

    mode: PolicyMode
    files: NotRequired[list[StoredOutput]]


class StoredBudget(TypedDict):
    """Such as `{"maxCostUsd": 1.5}`."""

    maxCostUsd: NotRequired[float]
    maxTokens: NotRequired[int]
    onReached: NotRequired[OnReached]


class StoredEgress(TypedDict):
    allow: list[str]


class StoredExecution(TypedDict):
    provider: str
    model: str
    weakModel: str | None
    internetAccess: bool
    maxRuntimeSeconds: int
    softFinishAfterSeconds: int | None
    outputPolicy: StoredPolicy
    runtimeRegion: RuntimeRegion
    budget: NotRequired[StoredBudget]
    egress: NotRequired[StoredEgress]


class StoredOverrides(TypedDict):
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    weakModel: NotRequired[str | None]
    internetAccess: NotRequired[bool | None]
    maxRuntimeSeconds: NotRequired[int | None]
    softFinishAfterSeconds: NotRequired[int | None]
    outputPolicy: NotRequired[StoredPolicy]
    runtimeRegion: NotRequired[RuntimeRegion | None]
    runtime: NotRequired[Literal["pi"]]
    budget: NotRequired[StoredBudget]
    egress: NotRequired[StoredEgress]
    priority: NotRequired[int]
    callbackUrl: NotRequired[str]


class StoredDefaults(TypedDict):
    """Rows of earlier versions lack some of the fields."""

    provider: str
    model: str
    weakModel: str | None
    internetAccess: bool
    maxRuntimeSeconds: int
    softFinishAfterSeconds: int | None
    sessionTtlSeconds: int
    outputPolicy: StoredPolicy
    runtimeRegion: RuntimeRegion


# The values of fields that rows of earlier versions lack.
_OLD_DEFAULTS: StoredDefaults = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": None,
    "internetAccess": False,
    "maxRuntimeSeconds": 3600,
    "softFinishAfterSeconds": None,
    "sessionTtlSeconds": 3600,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}


def policy_of(data: StoredPolicy) -> OutputPolicy:
    files = (
        NamedOutput(
            name=entry["name"],
            required=entry.get("required"),
            content_type=entry.get("contentType"),
            max_bytes=entry.get("maxBytes"),
            json_schema=entry.get("jsonSchema"),
        )
        for entry in data.get("files") or ()
    )
    return OutputPolicy(data["mode"], tuple(files))


def policy_to_json(policy: OutputPolicy) -> StoredPolicy:
    files = [_output_to_json(output) for output in policy.files]
    return {"mode": policy.mode, "files": files} if files else {"mode": policy.mode}


def _output_to_json(output: NamedOutput) -> StoredOutput:
    form = {
        "name": output.name,
        "required": output.required,
        "contentType": output.content_type,
        "maxBytes": output.max_bytes,
        "jsonSchema": output.json_schema,
    }
    return cast("StoredOutput", _without_none(form))


def budget_of(data: StoredBudget) -> Budget:
    cost = data.get("maxCostUsd")
    limit = None if cost is None else round(cost * _MICRO)
    return Budget(limit, data.get("maxTokens"), data.get("onReached", "fail"))


def execution_of(data: StoredExecution) -> Execution:
    budget, egress = data.get("budget"), data.get("egress")
    return Execution(
        provider=data["provider"],
        model=data["model"],
        weak_model=data.get("weakModel"),
        internet_access=data["internetAccess"],
        max_runtime_seconds=data["maxRuntimeSeconds"],
        soft_finish_after_seconds=data.get("softFinishAfterSeconds"),
        output_policy=policy_of(data["outputPolicy"]),
        runtime_region=data["runtimeRegion"],
        budget=budget_of(budget) if budget else None,
        egress=tuple(egress["allow"]) if egress else None,
    )


def execution_to_json(execution: Execution) -> StoredExecution:
    form: StoredExecution = {
        "provider": execution.provider,
        "model": execution.model,
        "weakModel": execution.weak_model,
        "internetAccess": execution.internet_access,
        "maxRuntimeSeconds": execution.max_runtime_seconds,
        "softFinishAfterSeconds": execution.soft_finish_after_seconds,
        "outputPolicy": policy_to_json(execution.output_policy),
        "runtimeRegion": execution.runtime_region,
    }
    if execution.budget is not None:
        form["budget"] = budget_to_json(execution.budget)
    if execution.egress is not None:
        form["egress"] = {"allow": list(execution.egress)}
    return form


def overrides_of(data: StoredOverrides) -> Overrides:
    policy, budget, egress = data.get("outputPolicy"), data.get("budget"), data.get("egress")
    return Overrides(
        provider=data.get("provider", UNSET),
        model=data.get("model", UNSET),
        weak_model=data.get("weakModel", UNSET),
        internet_access=data.get("internetAccess", UNSET),
        max_runtime_seconds=data.get("maxRuntimeSeconds", UNSET),
        soft_finish_after_seconds=data.get("softFinishAfterSeconds", UNSET),
        output_policy=policy_of(policy) if policy else UNSET,
        runtime_region=data.get("runtimeRegion", UNSET),
        runtime=data.get("runtime", UNSET),
        budget=budget_of(budget) if budget else UNSET,
        egress=tuple(egress["allow"]) if egress else UNSET,
        priority=data.get("priority", UNSET),
        callback_url=data.get("callbackUrl", UNSET),
    )


def overrides_to_json(overrides: Overrides) -> StoredOverrides:
    policy, budget, egress = overrides.output_policy, overrides.budget, overrides.egress
    form = {
        "provider": overrides.provider,
        "model": overrides.model,
        "weakModel": overrides.weak_model,
        "internetAccess": overrides.internet_access,
        "maxRuntimeSeconds": overrides.max_runtime_seconds,
        "softFinishAfterSeconds": overrides.soft_finish_after_seconds,
        "outputPolicy": policy_to_json(policy) if isinstance(policy, OutputPolicy) else UNSET,
        "runtimeRegion": overrides.runtime_region,
        "runtime": overrides.runtime,
        "budget": UNSET if budget is UNSET else budget_to_json(budget),
        "egress": UNSET if egress is UNSET else {"allow": list(egress)},
        "priority": overrides.priority,
        "callbackUrl": overrides.callback_url,
    }
    return cast("StoredOverrides", {name: value for name, value in form.items() if value is not UNSET})


def defaults_of(data: StoredDefaults) -> AgentDefaults:
    full = _OLD_DEFAULTS | cast("StoredDefaults", _without_none(data))
    return AgentDefaults(
        provider=full["provider"],
        model=full["model"],
        weak_model=full["weakModel"],
        internet_access=full["internetAccess"],
        max_runtime_seconds=full["maxRuntimeSeconds"],
        soft_finish_after_seconds=full["softFinishAfterSeconds"],
        session_ttl_seconds=full["sessionTtlSeconds"],
        output_policy=policy_of(full["outputPolicy"]),
        runtime_region=full["runtimeRegion"],
    )


def defaults_to_json(defaults: AgentDefaults) -> StoredDefaults:
    return {
        "provider": defaults.provider,
        "model": defaults.model,
        "weakModel": defaults.weak_model,
        "internetAccess": defaults.internet_access,
        "maxRuntimeSeconds": defaults.max_runtime_seconds,
        "softFinishAfterSeconds": defaults.soft_finish_after_seconds,
        "sessionTtlSeconds": defaults.session_ttl_seconds,
        "outputPolicy": policy_to_json(defaults.output_policy),
        "runtimeRegion": defaults.runtime_region,
    }


def budget_to_json(budget: Budget) -> StoredBudget:
    cost = budget.max_cost_micro_usd
    form = {
        "maxCostUsd": None if cost is None else cost / _MICRO,
        "maxTokens": budget.max_tokens,
        "onReached": budget.on_reached if budget.is_pausing else None,
    }
    return cast("StoredBudget", _without_none(form))


def _without_none(form: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in form.items() if value is not None}
