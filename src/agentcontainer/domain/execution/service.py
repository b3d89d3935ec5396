"""The one place where the platform's defaults, an agent version's and a task's overrides become what runs.

Each layer lies over the one below by the same rules: an agent's defaults over the platform's, a change of them over
the version before, a task's overrides over its version's defaults. All is camel-case, as on the wire.
"""

from typing import Any

from agentcontainer.domain.models import catalogue, prices
from agentcontainer.domain.tasks.output_policy import schema_fault
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

_MERGED = (
    "provider", "model", "weakModel", "internetAccess", "maxRuntimeSeconds", "softFinishAfterSeconds",
    "outputPolicy", "runtimeRegion",
)  # fmt: skip
NO_INTERNET = "true is not offered by this installation; use false"
_PLATFORM_DEFAULTS: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": None,
    "internetAccess": False,
    "softFinishAfterSeconds": None,
    "sessionTtlSeconds": 3600,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}


def merge(defaults: dict[str, Any], overrides: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The effective execution of a task: its overrides over its version's `defaults` over the platform's.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    own = {name: value for name, value in defaults.items() if value is not None}
    lower = {name: value for name, value in (_platform(settings) | own).items() if name in _MERGED}
    given = {name: value for name, value in overrides.items() if name in _MERGED and value is not None}
    merged = _layer(lower, given, "overrides")
    if merged["internetAccess"] and not settings.internet_access:
        raise ValidationError.at("overrides.internetAccess", NO_INTERNET)
    of_task = {name: overrides[name] for name in ("budget", "egress") if overrides.get(name) is not None}
    if "maxCostUsd" in of_task.get("budget", {}):
        _check_prices(merged, settings)
    if "egress" in of_task and not merged["internetAccess"]:
        raise ValidationError.at(
            "overrides.egress", "narrows internet access: it goes with internetAccess true only"
        )
    return merged | of_task


def laid_over(before: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """A task's overrides with later ones over them. An allow-list ends with the internet access that it narrows."""
    merged = before | later
    if later.get("internetAccess") is False and "egress" not in later:
        merged.pop("egress", None)
    return merged


def session_ttl_seconds(defaults: dict[str, Any], settings: Settings) -> int:
    """How long a conversation of a version with these defaults may wait for its user."""
    return defaults.get("sessionTtlSeconds") or _platform(settings)["sessionTtlSeconds"]


def agent_defaults(given: dict[str, Any], settings: Settings, before: dict[str, Any]) -> dict[str, Any]:
    """All defaults of an agent version: those `given` over those of the version before, over the platform's.
    A given None resets to the platform's.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    platform = _platform(settings)
    filled = {name: platform[name] if value is None else value for name, value in given.items()}
    merged = _layer(platform | before, filled, "defaults")
    if given.get("internetAccess") and not settings.internet_access:
        raise ValidationError.at("defaults.internetAccess", NO_INTERNET)
    return merged


def _platform(settings: Settings) -> dict[str, Any]:
    return _PLATFORM_DEFAULTS | {"maxRuntimeSeconds": settings.default_max_runtime_seconds}


def _layer(lower: dict[str, Any], given: dict[str, Any], path: str) -> dict[str, Any]:
    """`given` over `lower`. What only `lower` says, and no longer fits, gives way: a weak model of another provider,
    a soft limit beyond the hard one. The model does not: it must be named with a changed provider."""
    merged = lower | given
    is_provider_changed = merged["provider"] != lower["provider"]
    if is_provider_changed and "model" not in given:
        raise ValidationError.at(
            f"{path}.model",
            f"is needed: the model {lower['model']} is of {lower['provider']}, not {merged['provider']}",
        )
    if is_provider_changed and "weakModel" not in given:
        merged["weakModel"] = None
    for name in ("model", "weakModel"):
        if merged[name] is not None and (fault := catalogue.check(merged["provider"], merged[name])):
            raise ValidationError.at(f"{path}.{name}", fault)
    _check_limits(merged, given, path)
    for position, output in enumerate(merged["outputPolicy"].get("files") or ()):
        schema = output.get("jsonSchema")
        if schema is not None and (fault := schema_fault(schema)):
            raise ValidationError.at(f"{path}.outputPolicy.files.{position}.jsonSchema", fault)
    return merged


def _check_limits(merged: dict[str, Any], given: dict[str, Any], path: str) -> None:
    soft, hard = merged["softFinishAfterSeconds"], merged["maxRuntimeSeconds"]
    if soft is not None and soft >= hard:
        if "softFinishAfterSeconds" in given:
            raise ValidationError.at(
                f"{path}.softFinishAfterSeconds", f"must be below maxRuntimeSeconds ({hard})"
            )
        merged["softFinishAfterSeconds"] = None


def _check_prices(merged: dict[str, Any], settings: Settings) -> None:
    for model in (merged["model"], merged["weakModel"]):
        if model is not None and prices.find(merged["provider"], model, settings.model_prices_file) is None:
            raise ValidationError.at(
                "overrides.budget.maxCostUsd",
                f"cannot be kept: nobody knows the price of {model} at {merged['provider']}; use maxTokens, or ask "
                "the operator to add it to AGENTCONTAINER_MODEL_PRICES_FILE",
            )
