"""The one place where an agent version's defaults and a task's overrides become what runs."""

from typing import Any

from agentcontainer.domain.models import catalogue
from agentcontainer.domain.tasks.outputs import schema_fault
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

_MERGED = (
    "provider", "model", "weakModel", "internetAccess", "maxRuntimeSeconds", "softFinishAfterSeconds",
    "outputPolicy", "runtimeRegion",
)  # fmt: skip
_PLATFORM_DEFAULTS: dict[str, Any] = {
    "weakModel": None,
    "internetAccess": False,
    "softFinishAfterSeconds": None,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}


def merge(defaults: dict[str, Any], overrides: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The effective execution (camel-case): overrides over defaults over the platform's own.

    A weak model of another provider than the effective one is dropped when only the defaults named it.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    platform = _PLATFORM_DEFAULTS | {"maxRuntimeSeconds": settings.default_max_runtime_seconds}
    given: dict[str, Any] = {
        name: value for name, value in overrides.items() if name in _MERGED and value is not None
    }
    own: dict[str, Any] = {
        name: value for name, value in defaults.items() if name in _MERGED and value is not None
    }
    merged: dict[str, Any] = {**platform, **own, **given}
    is_provider_changed = merged["provider"] != own["provider"]
    if is_provider_changed and "model" not in given:
        raise ValidationError.at(
            "overrides.model",
            f"is needed: the agent's model {own['model']} is of {own['provider']}, not {merged['provider']}",
        )
    if is_provider_changed and "weakModel" not in given:
        merged["weakModel"] = None
    for name in ("model", "weakModel"):
        if merged[name] is not None and (fault := catalogue.check(merged["provider"], merged[name])):
            raise ValidationError.at(f"overrides.{name}", fault)
    _check_limits(merged, given)
    for position, output in enumerate(merged["outputPolicy"].get("files") or ()):
        schema = output.get("jsonSchema")
        if schema is not None and (fault := schema_fault(schema)):
            raise ValidationError.at(f"overrides.outputPolicy.files.{position}.jsonSchema", fault)
    return merged


def _check_limits(merged: dict[str, Any], given: dict[str, Any]) -> None:
    soft, hard = merged["softFinishAfterSeconds"], merged["maxRuntimeSeconds"]
    if soft is not None and soft >= hard:
        if "softFinishAfterSeconds" in given:
            raise ValidationError.at(
                "overrides.softFinishAfterSeconds", f"must be below maxRuntimeSeconds ({hard})"
            )
        merged["softFinishAfterSeconds"] = None
    if merged["internetAccess"]:
        raise ValidationError.at(
            "overrides.internetAccess", "true is not offered by this installation; use false"
        )
