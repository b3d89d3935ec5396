"""Turns every error into a response: `{"error": {"code", "message", "requestId", "details"?}}`."""

import errno
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import asyncpg
import pydantic
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from typing_extensions import TypeAliasType

from agentcontainer import db, field_faults, host
from agentcontainer.api.http.strict_json import field_path
from agentcontainer.api.wire import PATTERN_FAULTS, Outgoing
from agentcontainer.bounded_pool import Busy
from agentcontainer.errors import (
    AgentContainerError,
    Conflict,
    Detail,
    Forbidden,
    Gone,
    InProgress,
    InsufficientBalance,
    LimitReached,
    Misdirected,
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
INTERNAL = AgentContainerError("Internal error. The server's log has the details under this request id.")
UNREACHABLE = Unavailable("The database cannot be reached now. Try again.")
BUSY = Unavailable("The API is overloaded: no database connection became free in time. Try again.", 2)
DATABASE_FULL = Unavailable(
    "The database's disk is full, so the request was not carried out. Try again later."
)
DISK_FULL = Unavailable("The platform's disk is full, so the request was not carried out. Try again later.")
OVERLOADED = Unavailable("The platform has too many files and connections open. Try again later.")
_OUTAGES = (
    *db.UNREACHABLE,
    asyncpg.OperatorInterventionError,  # the server is stopping or starting, or cancelled the statement
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock or serialization failure, which a retry may not meet
)
# The documented codes by status. Starlette raises `method_not_allowed`; all others are classes of ours.
CODES: dict[int, tuple[str, str]] = {
    **{
        error.status: (error.code, (error.__doc__ or "").strip())
        for error in (
            ValidationError, Unauthorized, InsufficientBalance, Forbidden, NotFound, Conflict, Gone, PayloadTooLarge,
            UnsupportedMediaType, RangeNotSatisfiable, Misdirected, RateLimited, Unavailable,
        )
    },
    405: ("method_not_allowed", "The route does not take this method; `Allow` lists those it takes."),
    500: ("internal", "A fault of the server. Its log has the details under the request id."),
}  # fmt: skip


# A second code of a status that has one already.
MORE_CODES: dict[str, tuple[int, str]] = {
    error.code: (error.status, (error.__doc__ or "").strip()) for error in (LimitReached,)
}
_PARTS = (("body",), ("query",), ("path",), ("header",))

# As an enum of its own in the OpenAPI document; a Literal cannot be built from the table.
ApiErrorCode = TypeAliasType(
    "ApiErrorCode",
    Annotated[str, Field(json_schema_extra={"enum": [*(code for code, _ in CODES.values()), *MORE_CODES]})],
)


class FieldFault(Outgoing):
    """What is wrong with one field of a request."""

    path: Annotated[str, Field(description="For example `overrides.outputPolicy.mode`.")]
    message: str


class ErrorContent(Outgoing):
    """What went wrong."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    code: Annotated[ApiErrorCode, Field(description="Stable: programs decide by it.")]
    message: Annotated[str, Field(description="A sentence for people; may change.")]
    request_id: Annotated[str, Field(description="The id of this request in the server's log.")]
    details: Annotated[
        list[FieldFault] | None, Field(description=f"With `validation_error`: at most {MAX_DETAILS} fields.")
    ] = None


class Error(Outgoing):
    """The body of every response that is not a success."""

    error: ErrorContent


def response_to(error: Exception, request_id: str, data_dir: Path | None = None) -> JSONResponse:
    """The response to any exception. An unexpected one is logged and answered as `internal`."""
    if isinstance(error, HTTPException):
        message = _http_message(error)
        return _response(error.status_code, _http_code(error.status_code), message, request_id, error.headers)
    public = public_error(error, request_id, data_dir)
    headers: dict[str, str] = {}
    if isinstance(public, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if (
        isinstance(public, RateLimited | InProgress | LimitReached | Unavailable)
        and public.retry_after_seconds is not None
    ):
        headers["Retry-After"] = str(public.retry_after_seconds)
    if isinstance(public, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{public.size_bytes}"
    details = public.details if isinstance(public, ValidationError) else ()
    return _response(public.status, public.code, str(public), request_id, headers, details)


def public_error(error: Exception, request_id: str, data_dir: Path | None = None) -> AgentContainerError:
    """The error that the client gets for an exception. Details that it does not get are logged.
    `data_dir`: its disk, which may be the database's, is checked for room."""
    if isinstance(error, AgentContainerError) and error.code != AgentContainerError.code:
        return error
    if isinstance(error, RequestValidationError):
        return refusal_of(list(error.errors()))
    if isinstance(error, _OUTAGES):
        logger.warning("a request could not be carried out: %s: %s", type(error).__name__, error)
        return _outage(error, data_dir)
    logger.error("%s: unexpected error", request_id, exc_info=error)
    return INTERNAL


def _outage(error: Exception, data_dir: Path | None) -> Unavailable:
    if isinstance(error, Busy):
        return BUSY
    if isinstance(error, asyncpg.DiskFullError):
        return DATABASE_FULL
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or (data_dir is not None and host.disk_shortage(data_dir)):
        return DISK_FULL
    return OVERLOADED if number in host.EXHAUSTED else UNREACHABLE


def refusal_of(faults: list[ErrorDetails]) -> ValidationError:
    """The error for pydantic's errors, in our own words. Its message describes the first one."""
    details = [Detail(_path(fault), _sentence(fault)) for fault in faults[:MAX_DETAILS]]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ValidationError(f"{details[0].path}: {details[0].message}{more}", details)


def validated(model: type[M], values: object) -> M:
    """Validate `values` with the model, where FastAPI does not.

    Raises:
        ValidationError: they do not fit.
    """
    try:
        return model.model_validate(values)
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
    return JSONResponse(Error(error=content).model_dump(exclude_none=True), status, headers)


def _http_code(status: int) -> str:
    return CODES[status][0] if status in CODES else CODES[400 if status < 500 else 500][0]


def _http_message(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is no such route."
    if error.status_code == 405:
        return f"This route takes {(error.headers or {}).get('Allow', 'other methods')}."
    return "The request is malformed."


def _path(fault: ErrorDetails) -> str:
    """Where the fault is, without the part of the request that FastAPI puts first."""
    steps = fault["loc"][1:] if fault["loc"][:1] in _PARTS else fault["loc"]
    if fault["loc"][0] == "query":  # which of several values of a parameter is wrong, the message says
        steps = [step for step in steps if not isinstance(step, int)]
    return field_path(steps) or "body"


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden" and fault["loc"][0] == "query":
        return "unknown query parameter"
    if fault["type"] == "string_pattern_mismatch":
        pattern = fault.get("ctx", {})["pattern"]
        return PATTERN_FAULTS.get(pattern, f"must match {pattern}")
    return field_faults.sentence(fault)
