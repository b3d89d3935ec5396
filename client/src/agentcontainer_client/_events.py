"""What all events have, the registry of their types, and the event of a type that is unknown here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar, cast

from agentcontainer_client._wire import Malformed, Model, instant

TERMINAL = frozenset({"task.finished", "task.failed", "task.cancelled", "task.expired"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Event(Model):
    """An event of a task. `raw` is the event as the API sent it.

    `sequence` counts the events of the task: 1, 2, 3 … without gaps. Live text has no number: its `sequence` is 0.
    """

    TYPE: ClassVar[str] = ""

    id: str = field(repr=False)
    sequence: int
    type: str
    task_id: str = field(repr=False)
    created_at: datetime = field(repr=False)
    is_shortened: bool = field(default=False, repr=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_last(self) -> bool:
        """Whether it is the last event of its task."""
        return self.type in TERMINAL

    @property
    def data(self) -> Mapping[str, Any]:
        """The `data` of the event as the API sent it."""
        return self.raw.get("data") or {}

    def to_wire(self) -> dict[str, Any]:
        """The event as the API sent it."""
        return dict(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Unknown(Event):
    """An event of a type that this version of the client does not know. Its content is in `data`."""


EventT = TypeVar("EventT", bound=Event)

_classes: dict[str, type[Event]] = {}


def register(kind: type[EventT]) -> type[EventT]:
    """Make `decode` use this class for events of its `TYPE`."""
    _classes[kind.TYPE] = kind
    return kind


def known_types() -> frozenset[str]:
    """The types that have a class."""
    return frozenset(_classes)


def decode(content: object) -> Event:
    """The event that this JSON describes.

    Raises:
        Malformed: it is not an event.
    """
    if not isinstance(content, dict) or not isinstance(type_ := cast("Raw", content).get("type"), str):
        raise Malformed("not an event")
    raw = cast("Raw", content)
    kind = _classes.get(type_, Unknown)
    created_at: Any = raw.get("createdAt")
    return kind.from_wire(
        raw.get("data") or {},
        id=raw.get("id", ""),
        sequence=raw.get("sequence", 0),
        type=type_,
        task_id=raw.get("taskId", ""),
        created_at=datetime.now(UTC) if created_at is None else instant(created_at),
        is_shortened=raw.get("isShortened", False),
        raw=raw,
    )


Raw = dict[str, Any]
