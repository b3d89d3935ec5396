"""Compares two versions of an agent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

_OWN = ("id", "number", "createdAt", "agentId")


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs, by its path in the API, such as `defaults.model`. None: it is not set."""

    path: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The fields that differ between two versions, but for those that differ between any two."""
    return [entry for entry in _compare("", before, after) if entry.path not in _OWN]


def _compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for name in dict.fromkeys([*old, *new]):
            yield from _compare(f"{path}.{name}".lstrip("."), old.get(name), new.get(name))
    elif before != after:
        yield Difference(path, before, after)
