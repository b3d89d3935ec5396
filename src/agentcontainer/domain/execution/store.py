"""The JSON form in which execution, overrides and defaults are stored: camelCase, without the fields that are not set.

Rows of every earlier version hold this form, so it must not change.
"""

from typing import Any

from agentcontainer.db import JsonObject
from agentcontainer.domain.execution.model import (
    AgentDefaults,
    Budget,
    Execution,
    NamedOutput,
    OutputPolicy,
    Overrides,
)
from agentcontainer.domain.unset import UNSET

_MICRO = 1_000_000
# The values of fields that rows of earlier versions lack.
_OLD_DEFAULTS: JsonObject = {
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


def policy_of(data: JsonObject) -> OutputPolicy:
    """From JSON such as `{"mode": "named", "files": [{"name": "report"}]}`."""
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


def policy_to_json(policy: OutputPolicy) -> JsonObject:
    files = [
        _without_none(
            {
                "name": output.name,
                "required": output.required,
                "contentType": output.content_type,
                "maxBytes": output.max_bytes,
                "jsonSchema": output.json_schema,
            }
        )
        for output in policy.files
    ]
    return {"mode": policy.mode, "files": files} if files else {"mode": policy.mode}


def budget_of(data: JsonObject) -> Budget:
    """From JSON such as `{"maxCostUsd": 1.5}`."""
    cost = data.get("maxCostUsd")
    return Budget(None if cost is None else round(cost * _MICRO), data.get("maxTokens"))


def execution_of(data: JsonObject) -> Execution:
    return Execution(
        provider=data["provider"],
        model=data["model"],
        weak_model=data.get("weakModel"),
        internet_access=data["internetAccess"],
        max_runtime_seconds=data["maxRuntimeSeconds"],
        soft_finish_after_seconds=data.get("softFinishAfterSeconds"),
        output_policy=policy_of(data["outputPolicy"]),
        runtime_region=data["runtimeRegion"],
        budget=budget_of(data["budget"]) if data.get("budget") else None,
        egress=tuple(data["egress"]["allow"]) if data.get("egress") else None,
    )


def execution_to_json(execution: Execution) -> JsonObject:
    form: JsonObject = {
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
        form["budget"] = _budget_to_json(execution.budget)
    if execution.egress is not None:
        form["egress"] = {"allow": list(execution.egress)}
    return form


def overrides_of(data: JsonObject) -> Overrides:
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
    )


def overrides_to_json(overrides: Overrides) -> JsonObject:
    policy, budget, egress = overrides.output_policy, overrides.budget, overrides.egress
    form: JsonObject = {
        "provider": overrides.provider,
        "model": overrides.model,
        "weakModel": overrides.weak_model,
        "internetAccess": overrides.internet_access,
        "maxRuntimeSeconds": overrides.max_runtime_seconds,
        "softFinishAfterSeconds": overrides.soft_finish_after_seconds,
        "outputPolicy": policy_to_json(policy) if isinstance(policy, OutputPolicy) else UNSET,
        "runtimeRegion": overrides.runtime_region,
        "runtime": overrides.runtime,
        "budget": UNSET if budget is UNSET else _budget_to_json(budget),
        "egress": UNSET if egress is UNSET else {"allow": list(egress)},
    }
    return {name: value for name, value in form.items() if value is not UNSET}


def defaults_of(data: JsonObject) -> AgentDefaults:
    full = _OLD_DEFAULTS | _without_none(data)
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


def defaults_to_json(defaults: AgentDefaults) -> JsonObject:
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


def _budget_to_json(budget: Budget) -> JsonObject:
    cost = budget.max_cost_micro_usd
    return _without_none(
        {"maxCostUsd": None if cost is None else cost / _MICRO, "maxTokens": budget.max_tokens}
    )


def _without_none(form: dict[str, Any]) -> JsonObject:
    return {name: value for name, value in form.items() if value is not None}
