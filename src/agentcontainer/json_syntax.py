"""Parses JSON from untrusted programs.

Python's parser alone also accepts NaN and Infinity, repeated names, and bytes in UTF-16 or UTF-32. Requests of API
clients are parsed by `api/http/strict_json.py`, which has more limits and names the path of a fault.
"""

import json
import math
import re
from typing import Any

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(?P<constant>NaN|-?Infinity)', re.DOTALL)


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
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from None
    try:
        if not is_strict:
            return json.loads(decoded, parse_constant=_refuse_constant, parse_int=_int)
        return json.loads(
            decoded, object_pairs_hook=_unique_object, parse_constant=_refuse_constant, parse_float=_finite_float,
            parse_int=_int,
        )  # fmt: skip
    except _ConstantError as error:
        raise ValueError(f"{error}{_place_of_constant(decoded)}") from None
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


class _ConstantError(ValueError):
    pass


def _refuse_constant(name: str) -> float:
    raise _ConstantError(f"{name} is not JSON")


def _place_of_constant(text: str) -> str:
    """Where the first NaN or Infinity outside of strings is; everything before it is JSON."""
    match = next((match for match in _STRING_OR_CONSTANT.finditer(text) if match["constant"]), None)
    if match is None:
        return ""
    line, column = text.count("\n", 0, match.start()) + 1, match.start() - text.rfind("\n", 0, match.start())
    return f": line {line} column {column} (char {match.start()})"


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python converts only so many digits, because it takes quadratic time
        raise ValueError(f"a number with {len(text)} digits is too long") from None
