"""Gives typed access to the few fields that we read of a JSON object, and keeps the others unchanged."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object in somebody else's JSON. A field that is absent or of another type reads as None or as empty."""

    fields: dict[str, object]

    @staticmethod
    def of(value: object) -> "JsonObject | None":
        """`value` if it is an object."""
        return JsonObject(cast("dict[str, object]", value)) if isinstance(value, dict) else None

    @staticmethod
    def parse(data: bytes | str) -> "JsonObject | None":
        """The object in `data`; None if `data` is not JSON or not an object."""
        try:
            return JsonObject.of(json.loads(data))
        except (ValueError, RecursionError):
            return None

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def get(self, name: str) -> object:
        return self.fields.get(name)

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    def inner(self, name: str) -> "JsonObject | None":
        return JsonObject.of(self.fields.get(name))

    def objects(self, name: str) -> Iterator["JsonObject"]:
        return objects_in(self.fields.get(name))

    def replacing(self, name: str, value: object) -> "JsonObject":
        """A copy with this field set."""
        return JsonObject(self.fields | {name: value})

    def without(self, *names: str) -> "JsonObject":
        """A copy that lacks these fields."""
        return JsonObject({name: value for name, value in self.fields.items() if name not in names})


def objects_in(value: object) -> Iterator[JsonObject]:
    """The objects in a JSON list; nothing for any other value."""
    if isinstance(value, list):
        for entry in cast("list[object]", value):
            if (item := JsonObject.of(entry)) is not None:
                yield item
