"""JSON as we accept it: nothing that PostgreSQL cannot store, another parser reads differently, or costs too much.

Refused, with the path: NUL and lone surrogates in strings and keys, NaN and Infinity, a key given twice, numbers
beyond 64 bits, nesting deeper than `MAX_DEPTH`, more than `MAX_VALUES` values.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from agentcontainer.db import storable
from agentcontainer.errors import ValidationError
from agentcontainer.printable import printable

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_INTEGER_DIGITS = 20

_TOO_DEEP = f"must not nest deeper than {MAX_DEPTH} levels"
_TOO_LARGE = "must be a number within 64 bits"


@dataclass(frozen=True)
class _Refused:
    """Stands where the parser met something we refuse; only the walk afterwards knows the path to it."""

    message: str
    key: str | None = None


@dataclass(frozen=True)
class _Place:
    """A path as a chain, spelt out only when something is wrong there."""

    above: "_Place | None"
    step: str | int

    def __str__(self) -> str:
        steps: list[str] = []
        place: _Place | None = self
        while place is not None:
            steps.append(shown(place.step))
            place = place.above
        return ".".join(reversed(steps))


def shown(step: str | int) -> str:
    """A key of the client's, fit for a message: short and printable."""
    return printable(str(step)[:64], "?")


def parse(data: bytes) -> Any:
    """The document.

    Raises:
        ValidationError: it is not JSON, or holds what we refuse; names the path.
    """
    try:
        document = json.loads(
            data.decode(),
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise ValidationError.at("body", "must be UTF-8") from None
    except RecursionError:
        raise ValidationError.at("body", _TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValidationError.at("body", f"is not JSON: {error.msg} (character {error.pos})") from None
    _check(document)
    return document


def text_fault(text: str) -> str | None:
    """What keeps a string from being stored; None: nothing."""
    return "must not hold NUL or half a surrogate pair" if storable(text) != text else None


def _check(document: Any) -> None:
    waiting: list[tuple[Any, _Place | None, int]] = [(document, None, 1)]
    seen = 0
    while waiting:
        value, place, depth = waiting.pop()
        if fault := _fault(value, depth):
            if isinstance(value, _Refused) and value.key is not None:
                place = _Place(place, value.key)
            raise ValidationError.at(str(place or "body"), fault)
        seen += 1
        if (
            isinstance(value, dict | list)
            and seen + len(waiting) + len(cast("list[Any]", value)) > MAX_VALUES
        ):
            raise ValidationError.at("body", f"must not hold more than {MAX_VALUES} values")
        if isinstance(value, dict):
            for key, child in cast("dict[str, Any]", value).items():
                if fault := text_fault(key):
                    raise ValidationError.at(str(_Place(place, key)), f"its name {fault}")
                waiting.append((child, _Place(place, key), depth + 1))
        elif isinstance(value, list):
            waiting += [
                (child, _Place(place, n), depth + 1) for n, child in enumerate(cast("list[Any]", value))
            ]


def _fault(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return text_fault(value)
    if isinstance(value, _Refused):
        return value.message
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        return _TOO_DEEP
    return None


def _integer(digits: str) -> int | _Refused:
    # The length first: converting a long numeral costs the square of its digits.
    if len(digits) <= MAX_INTEGER_DIGITS and -(2**63) <= (number := int(digits)) < 2**63:
        return number
    return _Refused(_TOO_LARGE)


def _float(digits: str) -> float | _Refused:
    number = float(digits)
    return number if math.isfinite(number) and abs(number) < 2**63 else _Refused(_TOO_LARGE)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))
    return _Refused("is given twice", twice)


def _constant(_name: str) -> _Refused:
    return _Refused("must be a finite number: NaN and Infinity are not JSON")
