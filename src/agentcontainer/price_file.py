"""Reads the operator's own token prices from the file that AGENTCONTAINER_MODEL_PRICES_FILE names.

    {"anthropic": {"claude-sonnet-4-6": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75}}}

USD per million tokens; `cacheRead` and `cacheWrite` default to `input`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from agentcontainer.providers import PROVIDERS

STORED = "(stored in the database)"  # the path of prices that came from there
_NEEDED = {"input", "output"}
_FIELDS = _NEEDED | {"cacheRead", "cacheWrite"}
_MOST = 1_000_000  # USD per million tokens


@dataclass(frozen=True)
class PriceFile:
    """The content of a price file. `prices`: provider → model → field → USD per million tokens."""

    path: str
    prices: Mapping[str, Mapping[str, Mapping[str, Decimal]]]


def read(path: object) -> PriceFile | None:
    """Read the price file at `path`. None if `path` is None.

    Raises:
        ValueError: it cannot be read, or does not have the format above; says where.
    """
    if path is None or isinstance(path, PriceFile):
        return path
    try:
        text = Path(str(path)).expanduser().read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {str(error)[:200]}") from None
    return _parsed(text, str(path))


def to_text(prices: PriceFile) -> str:
    """The prices as JSON, the same text for the same prices."""
    return json.dumps(prices.prices, default=lambda rate: float(rate), sort_keys=True, separators=(",", ":"))


def from_text(text: str) -> PriceFile | None:
    """The inverse of `to_text`. None if `text` is empty."""
    return _parsed(text, STORED) if text else None


def digest(text: str) -> str:
    """A short digest of prices as text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _parsed(text: str, path: str) -> PriceFile:
    try:
        document = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {str(error)[:200]}") from None
    providers = _object(document, "the file")
    if unknown := sorted(providers.keys() - PROVIDERS.keys()):
        raise ValueError(f"it names {unknown[0][:50]}, which is none of {', '.join(PROVIDERS)}")
    return PriceFile(
        path,
        {
            provider: {
                model: _rates(rates, f"{provider}.{model}")
                for model, rates in _object(models, provider).items()
            }
            for provider, models in providers.items()
        },
    )


def _rates(value: object, where: str) -> dict[str, Decimal]:
    rates = _object(value, where)
    if unknown := sorted(rates.keys() - _FIELDS):
        raise ValueError(f"{where} has {unknown[0][:50]}, which is none of {', '.join(sorted(_FIELDS))}")
    if missing := sorted(_NEEDED - rates.keys()):
        raise ValueError(f"{where} lacks {missing[0]}")
    for name, rate in rates.items():
        if not isinstance(rate, Decimal) or not rate.is_finite() or not 0 <= rate <= _MOST:
            raise ValueError(f"{where}.{name} must be a number of USD per million tokens, 0 to {_MOST}")
    return cast("dict[str, Decimal]", rates)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where[:250]} must be a JSON object")
    return cast("dict[str, Any]", value)
