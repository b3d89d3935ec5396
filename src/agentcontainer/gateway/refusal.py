"""Answers that the gateway gives itself, shaped like the provider's own errors so that its SDK shows the message."""

import json

from agentcontainer.gateway.upstreams import Wire

_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


class Refused(Exception):
    """The gateway answers the request itself, with `status` and `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def error_body(wire: Wire, refusal: Refused) -> bytes:
    """The refusal as JSON in the wire protocol's error format."""
    if wire == "anthropic-messages":
        kind = _ANTHROPIC_ERRORS.get(refusal.status, "api_error")
        return _encoded({"type": "error", "error": {"type": kind, "message": refusal.message}})
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.status}
    return _encoded({"error": error})


def _encoded(body: object) -> bytes:
    return json.dumps(body).encode()
