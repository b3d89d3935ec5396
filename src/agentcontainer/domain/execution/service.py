"""Merges the platform's defaults, an agent version's defaults and a task's overrides into the task's execution.

A version's defaults replace the platform's, and a task's overrides replace both (`_merge`).
"""

from dataclasses import replace
from typing import TypeVar

from agentcontainer.db import Connection
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.model import OwnEndpoint
from agentcontainer.domain.execution.model import (
    AgentDefaults,
    Choices,
    DefaultsChange,
    Execution,
    OutputPolicy,
    Overrides,
)
from agentcontainer.domain.models import catalogue, prices
from agentcontainer.domain.models.prices import Price
from agentcontainer.domain.tasks.output_policy import schema_fault
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import ValidationError
from agentcontainer.providers import OFFLINE, PROVIDERS
from agentcontainer.settings import Settings

NO_INTERNET = "true is not offered by this installation; use false"
NO_OFFLINE_MODEL = (
    "offline is not offered by this installation; its operator can set AGENTCONTAINER_OFFLINE_MODEL=on"
)

T = TypeVar("T")


def platform_defaults(settings: Settings) -> AgentDefaults:
    """The values of fields that neither the agent nor the task sets."""
    return AgentDefaults(
        provider="anthropic",
        model="claude-sonnet-4-6",
        weak_model=None,
        internet_access=False,
        max_runtime_seconds=settings.default_max_runtime_seconds,
        soft_finish_after_seconds=None,
        session_ttl_seconds=3600,
        output_policy=OutputPolicy("any"),
        runtime_region="any",
    )


async def resolve_for_account(
    connection: Connection,
    account_id: str,
    defaults: AgentDefaults,
    overrides: Overrides,
    settings: Settings,
    *,
    has_key: bool,
) -> tuple[Execution, Price | None]:
    """As `resolve`, also with an endpoint of the account's own as the provider. `has_key`: the request holds a key.
    Returns the price of all the endpoint's models, too; None: the platform's prices apply.

    Raises:
        ValidationError: the combination cannot run, or there is no such provider; names the field.
    """
    provider = provider_of(defaults, overrides, settings)
    endpoint = await accounts.own_endpoint(connection, account_id, provider, "overrides.provider")
    return resolve_with_endpoint(endpoint, defaults, overrides, settings, has_key=has_key)


def provider_of(defaults: AgentDefaults, overrides: Overrides, settings: Settings) -> str:
    """The provider of a task with these overrides: one of the platform's, or the name of an account's own endpoint."""
    return _pick(overrides.provider, defaults.provider, platform_defaults(settings).provider)


def resolve_with_endpoint(
    endpoint: OwnEndpoint | None,
    defaults: AgentDefaults,
    overrides: Overrides,
    settings: Settings,
    *,
    has_key: bool,
) -> tuple[Execution, Price | None]:
    """As `resolve_for_account`, with the account's own endpoint if the provider is one."""
    provider = provider_of(defaults, overrides, settings)
    if endpoint is not None and has_key:
        raise ValidationError.at(
            "overrides.providerApiKey",
            f"is for the platform's own providers only; store the key of {provider} with "
            f"PUT /api/v1/provider-keys/{provider}",
        )
    price = prices.of_endpoint(endpoint.rates) if endpoint else None
    return resolve(defaults, overrides, settings, price), price


def resolve(
    defaults: AgentDefaults, overrides: Overrides, settings: Settings, price: Price | None = None
) -> Execution:
    """The execution of a task: the defaults of its agent version, replaced by its overrides where these are set.

    `price`: of all models of the provider, if that is an endpoint of the account's own.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    merged = _merge(
        platform_defaults(settings), defaults, _with_offline_default(overrides, settings), "overrides"
    )
    if merged.provider == OFFLINE.name and not settings.has_offline_model:
        raise ValidationError.at("overrides.provider", NO_OFFLINE_MODEL)
    if merged.internet_access and not settings.internet_access:
        raise ValidationError.at("overrides.internetAccess", NO_INTERNET)
    execution = Execution(
        provider=merged.provider,
        model=merged.model,
        weak_model=merged.weak_model,
        internet_access=merged.internet_access,
        max_runtime_seconds=merged.max_runtime_seconds,
        soft_finish_after_seconds=merged.soft_finish_after_seconds,
        output_policy=merged.output_policy,
        runtime_region=merged.runtime_region,
        budget=None if overrides.budget is UNSET else overrides.budget,
        egress=None if overrides.egress is UNSET else overrides.egress,
    )
    if execution.budget is not None and execution.budget.max_cost_micro_usd is not None:
        check_prices(execution, settings, price)
    if execution.egress is not None and not execution.internet_access:
        raise ValidationError.at(
            "overrides.egress", "narrows internet access, so it needs internetAccess: true"
        )
    return execution


def _with_offline_default(overrides: Overrides, settings: Settings) -> Overrides:
    """The overrides; if they name no model and the offline model is the default, they name that one."""
    if settings.offline_model != "all":
        return overrides
    choices = (overrides.provider, overrides.model, overrides.weak_model)
    return replace(overrides, provider=OFFLINE.name) if choices == (UNSET, UNSET, UNSET) else overrides


def change_defaults(before: AgentDefaults, change: DefaultsChange, settings: Settings) -> AgentDefaults:
    """The defaults of an agent's next version.

    Raises:
        ValidationError: the combination cannot run; names the field.
    """
    platform = platform_defaults(settings)
    merged = _merge(platform, before, change, "defaults")
    if change.provider == OFFLINE.name and not settings.has_offline_model:
        raise ValidationError.at("defaults.provider", NO_OFFLINE_MODEL)
    if change.internet_access is True and not settings.internet_access:
        raise ValidationError.at("defaults.internetAccess", NO_INTERNET)
    ttl = _pick(change.session_ttl_seconds, before.session_ttl_seconds, platform.session_ttl_seconds)
    return replace(merged, session_ttl_seconds=ttl)


def _pick(chosen: T | Unset | None, below: T, platform: T) -> T:
    if isinstance(chosen, Unset):
        return below
    return platform if chosen is None else chosen


def _merge(platform: AgentDefaults, below: AgentDefaults, chosen: Choices, path: str) -> AgentDefaults:
    """The values of `chosen`, and those of `below` where it sets none. `path`: the request's field with `chosen`.

    An inherited value that conflicts with a chosen one is reset to None: a weak model of another provider, and a soft
    limit at or above the hard limit. The model is not: a changed provider needs a model with it.
    """
    merged = AgentDefaults(
        provider=_pick(chosen.provider, below.provider, platform.provider),
        model=_pick(chosen.model, below.model, platform.model),
        weak_model=_pick(chosen.weak_model, below.weak_model, platform.weak_model),
        internet_access=_pick(chosen.internet_access, below.internet_access, platform.internet_access),
        max_runtime_seconds=_pick(
            chosen.max_runtime_seconds, below.max_runtime_seconds, platform.max_runtime_seconds
        ),
        soft_finish_after_seconds=_pick(
            chosen.soft_finish_after_seconds,
            below.soft_finish_after_seconds,
            platform.soft_finish_after_seconds,
        ),
        session_ttl_seconds=below.session_ttl_seconds,
        output_policy=_pick(chosen.output_policy, below.output_policy, platform.output_policy),
        runtime_region=_pick(chosen.runtime_region, below.runtime_region, platform.runtime_region),
    )
    if merged.provider != below.provider:
        entry = PROVIDERS.get(merged.provider)
        only_model = entry.only_model if entry else None
        if chosen.model is UNSET and only_model is not None:
            merged = replace(merged, model=only_model)
        elif chosen.model is UNSET:
            raise ValidationError.at(
                f"{path}.model",
                f"is needed: the model {below.model} is of {below.provider}, not {merged.provider}",
            )
        if chosen.weak_model is UNSET:
            merged = replace(merged, weak_model=None)
    _check_models(merged, path)
    soft, hard = merged.soft_finish_after_seconds, merged.max_runtime_seconds
    if soft is not None and soft >= hard:
        if chosen.soft_finish_after_seconds is not UNSET:
            raise ValidationError.at(
                f"{path}.softFinishAfterSeconds", f"must be below maxRuntimeSeconds ({hard})"
            )
        merged = replace(merged, soft_finish_after_seconds=None)
    _check_schemas(merged.output_policy, f"{path}.outputPolicy")
    return merged


def _check_models(merged: AgentDefaults, path: str) -> None:
    for field, model in (("model", merged.model), ("weakModel", merged.weak_model)):
        if model is not None and (fault := catalogue.check(merged.provider, model)):
            raise ValidationError.at(f"{path}.{field}", fault)


def _check_schemas(policy: OutputPolicy, path: str) -> None:
    for position, output in enumerate(policy.files):
        if output.json_schema is not None and (fault := schema_fault(output.json_schema)):
            raise ValidationError.at(f"{path}.files.{position}.jsonSchema", fault)


def check_prices(
    execution: Execution, settings: Settings, price: Price | None, at: str = "overrides.budget.maxCostUsd"
) -> None:
    """Check that the models have prices, so that a limit of their cost can be kept. `at`: the limit's field.

    Raises:
        ValidationError: one has none.
    """
    if price is not None:
        return
    for model in (execution.model, execution.weak_model):
        if model is not None and prices.find(execution.provider, model, settings.model_prices_file) is None:
            raise ValidationError.at(
                at,
                f"cannot be enforced: the price of {model} at {execution.provider} is not known; use maxTokens, or "
                f"{_how_to_add_price(execution.provider)}",
            )


def _how_to_add_price(provider: str) -> str:
    if provider in PROVIDERS:
        return "ask the operator to add it to AGENTCONTAINER_MODEL_PRICES_FILE"
    return f"store it with PUT /api/v1/provider-keys/{provider}"
