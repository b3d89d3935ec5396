"""Every error a client can see, each with its stable `code` and HTTP `status` (CONTRACT §1).

AgentContainerError
├── ValidationError        validation_error        400   carries details: [{path, message}]
├── Unauthorized           unauthorized            401
├── InsufficientBalance    insufficient_balance    402
├── Forbidden              forbidden               403
├── NotFound               not_found               404
├── Conflict               conflict                409
│   └── InProgress         conflict                409   with Retry-After
├── PayloadTooLarge        payload_too_large       413
├── UnsupportedMediaType   unsupported_media_type  415
├── RangeNotSatisfiable    range_not_satisfiable   416   with Content-Range
├── RateLimited            rate_limited            429
├── Unavailable            unavailable             503
├── SettingsError          a setting is wrong; stops the start
└── SandboxError           the platform could not run a sandbox (never: a command inside failed)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Detail:
    """Where a request was wrong: `path` such as `overrides.outputPolicy.mode`, and what would be right."""

    path: str
    message: str


class AgentContainerError(Exception):
    """The base of all. `str(error)` is a sentence a person can act on; it never holds a secret or host path."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class ValidationError(AgentContainerError):
    """The request is malformed, or names something that cannot be."""

    code = "validation_error"
    status = 400

    def __init__(self, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    @classmethod
    def at(cls, path: str, message: str) -> "ValidationError":
        """One fault at one place; the message names the field."""
        return cls(f"{path}: {message}", [Detail(path, message)])


class Unauthorized(AgentContainerError):
    """No API key, or one that is unknown or revoked."""

    code = "unauthorized"
    status = 401


class InsufficientBalance(AgentContainerError):
    """The prepaid balance does not cover the hold."""

    code = "insufficient_balance"
    status = 402


class Forbidden(AgentContainerError):
    """The request is understood and not allowed (a bad signature, a standard agent edited)."""

    code = "forbidden"
    status = 403


class NotFound(AgentContainerError):
    """It does not exist, or belongs to another account: the answer is the same."""

    code = "not_found"
    status = 404


class Conflict(AgentContainerError):
    """The resource is in another state than this request needs."""

    code = "conflict"
    status = 409


class InProgress(Conflict):
    """Another request with the same `Idempotency-Key` is still at work; a repeat gets its answer."""

    retry_after_seconds: ClassVar[int] = 1


class PayloadTooLarge(AgentContainerError):
    """The body exceeds the limit it is bound to."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(AgentContainerError):
    """The body is of another content type than the route takes."""

    code = "unsupported_media_type"
    status = 415


class RangeNotSatisfiable(AgentContainerError):
    """`Range` asks for bytes the file does not have; `Content-Range` says how many there are."""

    code = "range_not_satisfiable"
    status = 416

    def __init__(self, message: str, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class RateLimited(AgentContainerError):
    """Too many requests; `retry_after_seconds` says when to come back."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AgentContainerError):
    """A part the request needs (database, object store) cannot be reached now."""

    code = "unavailable"
    status = 503


class SettingsError(AgentContainerError):
    """A setting is wrong. The message names the AGENTCONTAINER_* variable and says what would be right."""


class SandboxError(AgentContainerError):
    """The platform could not start, limit or destroy a sandbox."""
