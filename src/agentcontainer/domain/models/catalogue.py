"""The catalogue of the providers' models: their ids, limits and prices.

It contains the models that the pinned Pi knows (catalogue.json, written by scripts/generate_catalogue.mjs). An unknown
id is used unchanged, because new models appear more often than our releases.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import NotRequired, TypedDict

from agentcontainer.providers import PROVIDERS

_MODEL_ID = re.compile(r"[A-Za-z0-9~@][A-Za-z0-9~@._:/+-]{0,199}")
# Providers refuse a request whose max_tokens is above what the model can write.
_MAX_TOKENS_OF_UNKNOWN = (
    ("claude-3-5-", 8192),
    ("claude-3-7-", 64_000),
    ("claude-3-", 4096),
    ("claude-", 32_000),
)


@dataclass(frozen=True)
class Rates:
    """Prices in USD per million tokens. A cache rate that Pi does not know is the input rate."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True)
class Model:
    """One model. `tiers`: pairs (tokens, rates); a request with more input tokens than that costs these rates."""

    context_window: int
    max_tokens: int
    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()


class _RatesEntry(TypedDict):
    input: Decimal | int
    output: Decimal | int
    cacheRead: Decimal | int
    cacheWrite: Decimal | int


class _Tier(_RatesEntry):
    inputTokensAbove: int


class _Cost(_RatesEntry):
    tiers: NotRequired[list[_Tier]]


class _Entry(TypedDict):
    """A model in catalogue.json."""

    contextWindow: int
    maxTokens: int
    cost: _Cost


@cache
def _catalogue() -> dict[str, dict[str, Model]]:
    text = (
        resources.files("agentcontainer.domain.models").joinpath("catalogue.json").read_text(encoding="utf-8")
    )
    providers: dict[str, dict[str, _Entry]] = json.loads(text, parse_float=Decimal)["models"]
    return {name: {id: _model(entry) for id, entry in models.items()} for name, models in providers.items()}


def _model(entry: _Entry) -> Model:
    cost = entry["cost"]
    return Model(
        context_window=entry["contextWindow"],
        max_tokens=entry["maxTokens"],
        rates=_rates(cost),
        tiers=tuple((tier["inputTokensAbove"], _rates(tier)) for tier in cost.get("tiers", ())),
    )


def _rates(cost: _RatesEntry) -> Rates:
    input_ = Decimal(cost["input"])
    read, write = (Decimal(rate) or input_ for rate in (cost["cacheRead"], cost["cacheWrite"]))
    return Rates(input_, Decimal(cost["output"]), read, write)


def _dashed(model: str) -> str:
    return model.replace(".", "-").lower()


@cache
def _by_dashed_id(provider: str) -> dict[str, str]:
    return {_dashed(id): id for id in _catalogue().get(provider, {})}


def wire_id(provider: str, model: str) -> str:
    """The id that the provider's API uses for `model`: `claude-sonnet-4.6` is `claude-sonnet-4-6` at Anthropic, and
    `anthropic/claude-sonnet-4-6` is `anthropic/claude-sonnet-4.6` at OpenRouter. Unknown ids are not changed."""
    if model in _catalogue().get(provider, {}):
        return model
    known_id = _by_dashed_id(provider).get(_dashed(model))
    if known_id is not None:
        return known_id
    entry = PROVIDERS.get(provider)
    return model.replace(".", "-") if entry and entry.writes_dots_as_dashes else model


def find(provider: str, model: str) -> Model | None:
    """The provider's `model`, spelled with dots or dashes; None: the catalogue does not contain it."""
    return _catalogue().get(provider, {}).get(wire_id(provider, model))


def max_tokens(provider: str, model: str) -> int:
    """The maximum number of tokens in one answer of `model`. For an unknown model it is the limit that Pi is configured
    with."""
    entry = find(provider, model)
    return entry.max_tokens if entry else _max_tokens_of_unknown(wire_id(provider, model))


def ids(provider: str) -> Iterable[str]:
    """The ids of the provider's models in the catalogue."""
    return _catalogue().get(provider, {}).keys()


def is_known(provider: str, model: str) -> bool:
    return find(provider, model) is not None


def providers_of(model: str) -> frozenset[str]:
    """The providers that have this model according to the catalogue, spelled with dots or dashes."""
    return frozenset(provider for provider in PROVIDERS if is_known(provider, model))


def check(provider: str, model: str) -> str | None:
    """Why `model` cannot be requested from `provider`; None: it can."""
    if not _MODEL_ID.fullmatch(model):
        return "must be a model id: up to 200 letters, digits and . _ : / @ ~ + -, beginning with a letter or digit"
    entry = PROVIDERS.get(provider)
    if entry is not None and entry.only_model not in (None, model):
        return f"must be {entry.only_model}, the only model of {provider}"
    providers = sorted(providers_of(model))
    if not providers or provider in providers or provider not in PROVIDERS:
        return None  # an endpoint of an account's own may have any model
    hint = f"; {provider} calls it {own_id}" if (own_id := _same_at(provider, model)) else ""
    return f"{model} is a model of {' and '.join(providers)}, not of {provider}{hint}"


def _same_at(provider: str, model: str) -> str | None:
    """The provider's id of a model that other providers call `model`, with or without the vendor's name before it."""
    bare = _dashed(model).rpartition("/")[2]
    ids = [id for dashed, id in _by_dashed_id(provider).items() if dashed.rpartition("/")[2] == bare]
    return ids[0] if len(ids) == 1 else None


def _max_tokens_of_unknown(model: str) -> int:
    return next((size for prefix, size in _MAX_TOKENS_OF_UNKNOWN if model.startswith(prefix)), 16_384)
