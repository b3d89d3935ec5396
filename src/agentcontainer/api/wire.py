"""The base classes and field types of everything the API reads or sends as JSON.

On the wire names are camelCase, times are ISO 8601 in UTC with milliseconds, and money is US dollars.
"""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from agentcontainer.domain.tasks.event_data import iso
from agentcontainer.providers import OWN_NAME, PROVIDERS

_NAME = r"[A-Za-z0-9!#$&^_.+-]+"
_QUOTED = r'"[ !#-\[\]-~]*"'
MEDIA_TYPE_PATTERN = rf"^{_NAME}/{_NAME}( ?; ?{_NAME}=({_NAME}|{_QUOTED}))*$"
ID_PATTERN = r"^[A-Za-z0-9_]{1,64}$"
VISIBLE_PATTERN = r"^[!-~]*$"
MODEL_PATTERN = r"^[A-Za-z0-9~@][A-Za-z0-9~@._:/+-]*$"
OUTPUT_NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
# The message for a value that does not match, so that nobody has to read a regular expression.
PATTERN_FAULTS = {
    MEDIA_TYPE_PATTERN: "must be a media type such as text/csv",
    ID_PATTERN: "must be an id: 1 to 64 letters, digits and _",
    VISIBLE_PATTERN: "must have printable ASCII characters only, and no spaces",
    MODEL_PATTERN: "must be the id of a model, such as claude-sonnet-4-6",
    OUTPUT_NAME_PATTERN: "must be 1 to 64 letters, digits, _, . and -",
}
DEFAULT_MAX_BODY_BYTES = 64 * 1024


class _WireModel(BaseModel):
    """Drops the titles that pydantic adds to each field: they only repeat the field's name."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        for field in handler.resolve_ref_schema(schema).get("properties", {}).values():
            field.pop("title", None)
        return schema


class Incoming(_WireModel):
    """An object that a client sends: exact types, no unknown fields. In an optional field null means not given."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", frozen=True)
    max_body_bytes: ClassVar[int] = DEFAULT_MAX_BODY_BYTES


class Outgoing(_WireModel):
    """An object that a client receives. Every key is always present."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(serialization_alias=to_camel),
        from_attributes=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
        frozen=True,
    )

    @classmethod
    def of(cls, source: object, **values: object) -> Self:
        """Built from the attributes of `source`; `values` replace them or add fields that `source` lacks."""
        return cls.model_validate(_Overlay(source, **values) if values else source)


class _Overlay:
    """An object with some attributes replaced, for pydantic to read."""

    def __init__(self, source: object, **values: object) -> None:
        self._source = source
        self._values = values

    def __getattr__(self, name: str) -> object:
        return self._values[name] if name in self._values else getattr(self._source, name)


def usd(micro_usd: int) -> float:
    """Micro-dollars as dollars."""
    return micro_usd / 1_000_000


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one type for numbers: some clients write 60 as 60.0, and JSON Schema calls both an integer.
from_whole_number = BeforeValidator(_whole)


def check_line(value: str) -> str:
    """`value`, if it is one line and not blank."""
    if not value.strip():
        raise ValueError("must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not hold control characters")
    return value


def _check_provider(value: object) -> object:
    if not isinstance(value, str) or not OWN_NAME.fullmatch(value):
        raise ValueError(
            f"must be one of {', '.join(PROVIDERS)}, or the name of an endpoint of your own: a small letter, then "
            "up to 30 small letters, digits and -"
        )
    return value


# A named alias becomes a schema of its own in the OpenAPI document.
Provider = TypeAliasType(
    "Provider",
    Annotated[
        str,
        BeforeValidator(_check_provider),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^{OWN_NAME.pattern}$",
                "examples": list(PROVIDERS),
                "description": f"One of {', '.join(PROVIDERS)}, or the name of an endpoint of the account's own.",
            }
        ),
    ],
)
Region = TypeAliasType("Region", Literal["eu", "any"])

Timestamp = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-26T14:00:00.000Z"]}),
]
Usd = Annotated[float, Field(description="US dollars.")]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
# `check_line` as a pattern, for the OpenAPI document.
LINE_PATTERN = (
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
)
Line = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": LINE_PATTERN}),
    AfterValidator(check_line),
]
MediaType = Annotated[str, Field(max_length=255, pattern=MEDIA_TYPE_PATTERN)]
ProviderApiKey = Annotated[
    str,
    Field(
        min_length=8, max_length=512, pattern=VISIBLE_PATTERN, description="Never returned.",
        json_schema_extra={"writeOnly": True, "format": "password"},
    ),
]  # fmt: skip
