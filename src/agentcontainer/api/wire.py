"""What all wire models share: camelCase names, strict input, and how times and money look (CONTRACT §1)."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from agentcontainer.domain.tasks import events

Provider = Literal["anthropic", "openrouter", "openai"]

_NAME = r"[A-Za-z0-9!#$&^_.+-]+"
_QUOTED = r'"[ !#-\[\]-~]*"'
MEDIA_TYPE_PATTERN = rf"^{_NAME}/{_NAME}( ?; ?{_NAME}=({_NAME}|{_QUOTED}))*$"
ID_PATTERN = r"^[A-Za-z0-9_]{1,64}$"
VISIBLE_PATTERN = r"^[!-~]*$"
MODEL_PATTERN = r"^[A-Za-z0-9~@][A-Za-z0-9~@._:/+-]*$"
OUTPUT_NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
PATTERN_FAULTS = {  # what is said of text that is not so: nobody should have to read the pattern
    MEDIA_TYPE_PATTERN: "must be a media type such as text/csv",
    ID_PATTERN: "must be an id: 1 to 64 letters, digits and _",
    VISIBLE_PATTERN: "must have printable ASCII characters only, and no spaces",
    MODEL_PATTERN: "must be the id of a model, such as claude-sonnet-4-6",
    OUTPUT_NAME_PATTERN: "must be 1 to 64 letters, digits, _, . and -",
}


class Incoming(BaseModel):
    """What a client sends: exact types, no unknown field. `null` in an optional field is as if not given."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", frozen=True)


class Outgoing(BaseModel):
    """What a client receives: every key is always there."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
        frozen=True,
    )


def usd(micro_usd: int) -> float:
    """Dollars as they stand on the wire."""
    return micro_usd / 1_000_000


def without_nulls(model: BaseModel, *, exclude: set[str] | None = None) -> dict[str, Any]:
    """The fields that were given, under their wire names."""
    return model.model_dump(by_alias=True, exclude_none=True, exclude=exclude)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON knows one kind of number: some clients write 60 as 60.0, and JSON Schema calls both an integer.
from_whole_number = BeforeValidator(_whole)


def check_line(value: str) -> str:
    """`value`, if it is one line with something on it."""
    if not value.strip():
        raise ValueError("must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not hold control characters")
    return value


Timestamp = Annotated[
    datetime,
    PlainSerializer(events.iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-26T14:00:00.000Z"]}),
]
Usd = Annotated[float, Field(description="US dollars.")]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
# For the document: `check_line` says it in words.
LINE_SCHEMA: dict[str, Any] = {
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
}
Line = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra=LINE_SCHEMA), AfterValidator(check_line)
]
MediaType = Annotated[str, Field(max_length=255, pattern=MEDIA_TYPE_PATTERN)]
ProviderApiKey = Annotated[
    str,
    Field(
        min_length=8, max_length=512, pattern=VISIBLE_PATTERN, description="Never returned.",
        json_schema_extra={"writeOnly": True, "format": "password"},
    ),
]  # fmt: skip
