"""Distinguishes temporary failures of a provider, which a repeated request may avoid, from permanent ones."""

from agentcontainer.gateway.json_object import JsonObject

# A response with one of these words concerns the account, and waiting does not help.
_OF_THE_ACCOUNT = ("insufficient_quota", "billing", "credit balance", "quota exceeded")
_PERMANENT = frozenset({501, 505})
# In an error object's `type` or `code`; Anthropic, OpenAI and OpenRouter.
_KINDS = frozenset(
    {
        "overloaded_error", "rate_limit_error", "api_error", "timeout_error", "server_error", "rate_limit_exceeded",
        "internal_server_error", "service_unavailable", "server_overloaded", "overloaded", "timeout",
    }
)  # fmt: skip


def is_overload(status: int, body: bytes) -> bool:
    """Whether a response with this error status may succeed when it is repeated unchanged."""
    is_transient = status in (408, 429) or (status >= 500 and status not in _PERMANENT)
    return is_transient and not _is_of_the_account(body.decode("utf-8", "replace"))


def is_overload_error(event: JsonObject) -> bool:
    """Whether an error object inside a successful response is a temporary failure, as `is_overload` is for a status."""
    error = event.inner("error") or event
    kinds = [error.get("type"), error.get("code")]
    is_transient = any(
        is_overload(int(kind), b"") if isinstance(kind, int) else kind in _KINDS
        for kind in kinds
        if isinstance(kind, int | str)
    )
    return is_transient and not _is_of_the_account(f"{kinds} {error.text('message')}")


def _is_of_the_account(text: str) -> bool:
    beginning = text[:10_000].lower()
    return any(word in beginning for word in _OF_THE_ACCOUNT)
