"""A strict JSON parser for request bodies, whose errors name the path of the fault.

It refuses NUL and lone surrogates (PostgreSQL cannot store them), keys that occur twice, NaN, Infinity and numbers
beyond 64 bits (parsers read them differently), nesting deeper than `MAX_DEPTH` and more than `MAX_VALUES` values
(they cost too much).
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from agentcontainer.db import storable
from agentcontainer.errors import ValidationError
from agentcontainer.printable import printable

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_INTEGER_DIGITS = 20

_TASK_OF_BATCH = re.compile(r"^tasks\.([0-9]+)(?=\.|$)")
_TOO_DEEP = f"must not nest deeper than {MAX_DEPTH} levels"
_TOO_LARGE = "must be a number within 64 bits"


@dataclass(frozen=True)
class _Refused:
    """Takes the place of a refused value in the document: `_check` finds it there and knows its path."""

    message: str
    key: str | None = None


Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | _Refused | None"


@dataclass(frozen=True)
class _JsonPath:
    """A path as a linked list. It is formatted only for an error."""

    above: "_JsonPath | None"
    step: str | int

    def __str__(self) -> str:
        steps: list[str | int] = []
        path: _JsonPath | None = self
        while path is not None:
            steps.append(path.step)
            path = path.above
        return field_path(reversed(steps))


def field_path(steps: Iterable[str | int]) -> str:
    """The path of a field as errors show it. The task of a batch is written with brackets: `tasks[17].title`."""
    return _TASK_OF_BATCH.sub(r"tasks[\1]", ".".join(printable_key(step) for step in steps))


def printable_key(step: str | int) -> str:
    """A key of the client, shortened and printable, for an error message."""
    return printable(str(step)[:64], "?")


def parse(data: bytes) -> object:
    """Parse a document.

    Raises:
        ValidationError: it is not JSON, or holds something that is refused; names the path.
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
    """Why a string cannot be stored; None if it can."""
    return "must not hold NUL or half a surrogate pair" if storable(text) != text else None


def _check(document: Value) -> None:
    """Walk the document without recursion, and raise for the first fault."""
    waiting: list[tuple[Value, _JsonPath | None, int]] = [(document, None, 1)]
    count = 0
    while waiting:
        value, path, depth = waiting.pop()
        if fault := _fault(value, depth):
            if isinstance(value, _Refused) and value.key is not None:
                path = _JsonPath(path, value.key)
            raise ValidationError.at(str(path or "body"), fault)
        count += 1
        if isinstance(value, dict | list) and count + len(waiting) + len(value) > MAX_VALUES:
            raise ValidationError.at("body", f"must not hold more than {MAX_VALUES} values")
        waiting += [(child, child_path, depth + 1) for child, child_path in _children(value, path)]


def _children(value: Value, path: _JsonPath | None) -> Iterator[tuple[Value, _JsonPath]]:
    if isinstance(value, dict):
        for key, child in value.items():
            child_path = _JsonPath(path, key)
            if fault := text_fault(key):
                raise ValidationError.at(str(child_path), f"its name {fault}")
            yield child, child_path
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield child, _JsonPath(path, index)


def _fault(value: Value, depth: int) -> str | None:
    if isinstance(value, str):
        return text_fault(value)
    if isinstance(value, _Refused):
        return value.message
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        return _TOO_DEEP
    return None


def _integer(digits: str) -> int | _Refused:
    # Check the length first: converting a numeral takes quadratic time.
    if len(digits) <= MAX_INTEGER_DIGITS and -(2**63) <= (number := int(digits)) < 2**63:
        return number
    return _Refused(_TOO_LARGE)


def _float(digits: str) -> float | _Refused:
    number = float(digits)
    return number if math.isfinite(number) and abs(number) < 2**63 else _Refused(_TOO_LARGE)


def _object(pairs: list[tuple[str, Value]]) -> Value:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    earlier_keys: set[str] = set()
    repeated = next(key for key, _ in pairs if key in earlier_keys or earlier_keys.add(key))
    return _Refused("is given twice", repeated)


def _constant(_name: str) -> _Refused:
    return _Refused("must be a finite number: NaN and Infinity are not JSON")
