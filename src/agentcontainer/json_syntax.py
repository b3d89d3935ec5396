"""Parses JSON from untrusted programs.

Python's parser alone also accepts NaN and Infinity, and repeated names. Requests of API clients are parsed by
`api/http/strict_json.py`, which has more limits and names the path of a fault.
"""

import json
import math
from typing import Any


class TooManyValues(ValueError):
    """The text has more values than the caller allows; it was not parsed."""


def loads(text: bytes | str, *, is_strict: bool, max_values: int | None = None) -> object:
    """The document in `text`. `is_strict` refuses what parsers read differently: a name repeated within one
    object, and numbers beyond a double. The number of values is checked before anything is parsed.

    Raises:
        TooManyValues: `text` can hold more than `max_values`.
        ValueError: it is not JSON as RFC 8259 defines it, is nested too deep, or is refused by `is_strict`.
    """
    if max_values is not None and _value_bound(text) > max_values:
        raise TooManyValues("it holds too many values")
    try:
        if not is_strict:
            return json.loads(text, parse_constant=_refuse_constant)
        return json.loads(
            text, object_pairs_hook=_unique_object, parse_constant=_refuse_constant, parse_float=_finite_float
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _value_bound(text: bytes | str) -> int:
    """An upper bound of the number of values: each one follows a comma or an opening bracket."""
    if isinstance(text, str):
        return sum(text.count(mark) for mark in ",[{")
    return sum(text.count(mark) for mark in (b",", b"[", b"{"))


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return members


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number
