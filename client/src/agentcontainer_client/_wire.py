"""Turns the API's JSON into frozen dataclasses and back, without losing fields that this version does not know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar, cast

T = TypeVar("T")

Decoder = Callable[[Any], Any]
WireField = tuple[str, str, Decoder | None]
"""The name in JSON, the name in Python, and how to decode a value that is not null."""
_MISSING = object()


class Malformed(ValueError):
    """A value has another shape than the API describes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Model:
    """A value of the API. Fields that this version of the client does not know are in `extra`, as sent."""

    WIRE: ClassVar[tuple[WireField, ...]] = ()

    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    _absent: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The fields that were not sent, which are None here."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            getattr(self, item.name) == getattr(other, item.name) for item in fields(self) if item.compare
        )

    def __hash__(self) -> int:
        return hash((type(self), getattr(self, "id", None)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return f"{type(self).__name__}({shown})"

    @classmethod
    def from_wire(cls, content: object, **more: object) -> Self:
        """The value that this JSON describes. A field that is missing, because the server is older, is None.

        Raises:
            Malformed: it has another shape.
        """
        if not isinstance(content, dict):
            raise Malformed(f"{cls.__name__} is not an object")
        rest = dict(cast("dict[str, Any]", content))
        values: dict[str, Any] = {}
        absent: list[str] = []
        for wire_name, name, decode in cls.WIRE:
            value = rest.pop(wire_name, _MISSING)
            if value is _MISSING:
                absent.append(wire_name)
                value = None
            values[name] = value if decode is None or value is None else decode(value)
        return cls(extra=rest, _absent=tuple(absent), **values, **more)

    def to_wire(self) -> dict[str, Any]:
        """The JSON that the API sent for this value."""
        content: dict[str, Any] = {}
        for wire_name, name, _ in self.WIRE:
            if wire_name not in self._absent:
                content[wire_name] = _encode(getattr(self, name))
        return content | dict(self.extra)


def instant(value: object) -> datetime:
    """A time that the API sent.

    Raises:
        Malformed: it is not an ISO 8601 time.
    """
    try:
        return datetime.fromisoformat(cast("str", value))
    except (TypeError, ValueError):
        raise Malformed(f"not a time: {str(value)[:40]!r}") from None


def each(decode: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """Decode each item of a list."""

    def decode_each(value: object) -> list[T]:
        if not isinstance(value, list):
            raise Malformed("not a list")
        return [decode(item) for item in cast("list[Any]", value)]

    return decode_each


def to_iso(moment: datetime) -> str:
    """A time as the API writes it. A time without a zone is local time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encode(value: object) -> object:
    if isinstance(value, Model):
        return value.to_wire()
    if isinstance(value, datetime):
        return to_iso(value)
    if isinstance(value, list):
        return [_encode(item) for item in cast("list[object]", value)]
    return value
