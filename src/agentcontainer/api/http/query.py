"""Query parameters, read and parsed in one place: each known, given once, and of the right form."""

import re
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, BeforeValidator

from agentcontainer.api.http.errors import validated
from agentcontainer.api.http.strict_json import shown, text_fault
from agentcontainer.api.wire import Incoming
from agentcontainer.errors import ValidationError

MAX_QUERY_BYTES = 8192
METADATA_PREFIX = "metadata."

M = TypeVar("M", bound=BaseModel)


class NoQuery(Incoming):
    """The route takes no query parameters."""


class Query(Generic[M]):
    """A dependency that yields the query as `model`. A field `metadata` collects `metadata.<key>=<value>`.

    The OpenAPI document is generated from these attributes.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> M:
        given = pairs(request)
        unknown = [name for name in given if not self._is_known(name)]
        if unknown:
            raise ValidationError.at(shown(unknown[0]), "unknown query parameter")
        if "metadata" in self.model.model_fields:
            keys = [name for name in given if name.startswith(METADATA_PREFIX)]
            given["metadata"] = {key.removeprefix(METADATA_PREFIX): given.pop(key) for key in keys}
        return validated(self.model, given)

    def _is_known(self, name: str) -> bool:
        fields = {field.alias for field in self.model.model_fields.values()}
        if "metadata" in fields and name.startswith(METADATA_PREFIX):
            return name != METADATA_PREFIX
        return name in fields - {"metadata"}


def pairs(request: Request) -> dict[str, Any]:
    """The parameters by name.

    Raises:
        ValidationError: they cannot be read, or one is given twice.
    """
    query_string: bytes = request.scope["query_string"]
    if len(query_string) > MAX_QUERY_BYTES:
        raise ValidationError.at("query", f"must have at most {MAX_QUERY_BYTES} bytes")
    return fields(query_string, "query")


def fields(encoded: bytes, place: str) -> dict[str, Any]:
    """What was sent as `name=value&…`, by name.

    Raises:
        ValidationError: it cannot be read, or a name is given twice.
    """
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise ValidationError.at(place, "must be percent-encoded UTF-8") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if fault := text_fault(name) or text_fault(value):
            raise ValidationError.at(shown(name), fault)
        if name in given:
            raise ValidationError.at(shown(name), "is given twice")
        given[name] = value
    return given


def _integer(text: Any) -> Any:
    if not re.fullmatch(r"[0-9]{1,18}", str(text)):
        raise ValueError("must be an integer")
    return int(text)


def _truth(text: Any) -> Any:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _time(text: Any) -> Any:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "; write + as %2B" if " " in str(text) else ""
        raise ValueError(f"must be a time such as 2026-03-26T14:00:00.000Z{hint}") from None


from_digits = BeforeValidator(_integer)
from_truth = BeforeValidator(_truth)
from_iso_time = BeforeValidator(_time)
