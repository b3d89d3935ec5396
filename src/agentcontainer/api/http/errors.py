"""The one place where an error becomes a response: `{"error":{"code","message","requestId"[,"details"]}}`."""

import logging
from collections.abc import Mapping
from typing import TypeVar

import asyncpg
import pydantic
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from agentcontainer import db
from agentcontainer.api.http.strict_json import shown
from agentcontainer.api.wire import PATTERN_FAULTS, Outgoing, without_nulls
from agentcontainer.errors import (
    AgentContainerError,
    Conflict,
    Detail,
    Forbidden,
    InProgress,
    InsufficientBalance,
    NotFound,
    PayloadTooLarge,
    RangeNotSatisfiable,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    ValidationError,
)

logger = logging.getLogger(__name__)
M = TypeVar("M", bound=pydantic.BaseModel)

MAX_DETAILS = 20
INTERNAL = AgentContainerError(
    "Something went wrong on our side. The request id helps to find it in the logs."
)
UNREACHABLE = Unavailable("The database cannot be reached now; try again.")
_OUTAGES = (
    *db.UNREACHABLE,
    asyncpg.OperatorInterventionError,  # the server stops, starts, or cancelled the statement
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock or serialization: a repeat may pass
)
# The published table of codes, by status; `method_not_allowed` is the framework's alone.
CODES: dict[int, tuple[str, str]] = {
    **{
        error.status: (error.code, (error.__doc__ or "").strip())
        for error in (
            ValidationError, Unauthorized, InsufficientBalance, Forbidden, NotFound, Conflict, PayloadTooLarge,
            UnsupportedMediaType, RangeNotSatisfiable, RateLimited, Unavailable,
        )
    },
    405: ("method_not_allowed", "The route exists, but not with this method; `Allow` names those it has."),
    500: ("internal", "Our fault. The message says nothing; the request id leads to the log."),
}  # fmt: skip


class FieldFault(Outgoing):
    """One fault of a request, and where: `overrides.outputPolicy.mode`."""

    path: str
    message: str


class ErrorContent(Outgoing):
    """What went wrong: a stable code, a sentence to act on, the id that leads to our log."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    code: str = Field(json_schema_extra={"enum": [code for code, _ in CODES.values()]})
    message: str
    request_id: str
    details: list[FieldFault] | None = None


class Error(Outgoing):
    """Every response that is not a success."""

    error: ErrorContent


def response_to(error: Exception, request_id: str) -> JSONResponse:
    """The response to whatever was raised. What we cannot explain is logged and answered as `internal`."""
    if isinstance(error, HTTPException):
        message = _http_message(error)
        return _response(error.status_code, _http_code(error.status_code), message, request_id, error.headers)
    known = known_as(error, request_id)
    headers: dict[str, str] = {}
    if isinstance(known, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(known, RateLimited | InProgress):
        headers["Retry-After"] = str(known.retry_after_seconds)
    if isinstance(known, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{known.size_bytes}"
    details = known.details if isinstance(known, ValidationError) else ()
    return _response(known.status, known.code, str(known), request_id, headers, details)


def known_as(error: Exception, request_id: str) -> AgentContainerError:
    """What a client may know of it; the rest is logged."""
    if isinstance(error, AgentContainerError) and error.code != AgentContainerError.code:
        return error
    if isinstance(error, RequestValidationError):
        return refusal_of(list(error.errors()))
    if isinstance(error, _OUTAGES):
        logger.warning("%s: outage: %s: %s", request_id, type(error).__name__, error)
        return UNREACHABLE
    logger.error("%s: unexpected error", request_id, exc_info=error)
    return INTERNAL


def refusal_of(faults: list[ErrorDetails]) -> ValidationError:
    """Pydantic's findings in our words; the message names the first field."""
    details = [Detail(_path(fault), _sentence(fault)) for fault in faults[:MAX_DETAILS]]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ValidationError(f"{details[0].path}: {details[0].message}{more}", details)


def validated(model: type[M], data: object) -> M:
    """`data` as the model.

    Raises:
        ValidationError: where it does not fit.
    """
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
    raise refusal_of(faults)


def _response(
    status: int,
    code: str,
    message: str,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    details: tuple[Detail, ...] = (),
) -> JSONResponse:
    faults = [FieldFault(path=detail.path, message=detail.message) for detail in details] or None
    content = ErrorContent(code=code, message=message, request_id=request_id, details=faults)
    return JSONResponse(without_nulls(Error(error=content)), status, headers)


def _http_code(status: int) -> str:
    return CODES[status][0] if status in CODES else CODES[400 if status < 500 else 500][0]


def _http_message(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is no such route."
    if error.status_code == 405:
        return f"This route takes {(error.headers or {}).get('Allow', 'other methods')}."
    return "The request cannot be answered."


def _path(fault: ErrorDetails) -> str:
    return ".".join(shown(step) for step in fault["loc"]) or "body"


def _sentence(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "unknown field"
        case "string_type":
            return "must be a string"
        case "int_type":
            return "must be an integer"
        case "bool_type":
            return "must be true or false"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "must be an object"
        case "list_type":
            return "must be an array"
        case "string_too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"must have at least {least} characters"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            return PATTERN_FAULTS.get(pattern, f"must match {pattern}")
        case "too_long":
            return f"must have at most {context['max_length']} entries"
        case "too_short":
            return f"must have at least {context['min_length']} entries"
        case "literal_error" | "enum":
            return f"must be one of {context['expected']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "value_error":
            return str(context["error"])
        case _:
            return fault["msg"]
