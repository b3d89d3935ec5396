"""The providers as the gateway knows them: which paths pass, where they go, which headers go with them.

Paths and queries of requests never reach a provider: they choose an `Endpoint`, whose URL is fixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multidict import MultiMapping

from agentcontainer.domain.models.catalogue import Provider

Wire = Literal["anthropic-messages", "openai-responses", "openai-completions"]

PROVIDER_NAMES: Mapping[Provider, str] = {
    "anthropic": "Anthropic",
    "openai": "OpenAI",
    "openrouter": "OpenRouter",
}


@dataclass(frozen=True)
class Endpoint:
    """One thing that may be asked of a provider; `path` is appended to its base URL."""

    provider: Provider
    wire: Wire
    path: str


ENDPOINTS: Mapping[str, Endpoint] = {
    "/anthropic/v1/messages": Endpoint("anthropic", "anthropic-messages", "/v1/messages"),
    "/openai/v1/responses": Endpoint("openai", "openai-responses", "/responses"),
    "/openrouter/api/v1/chat/completions": Endpoint("openrouter", "openai-completions", "/chat/completions"),
    "/openrouter/api/v1/messages": Endpoint("openrouter", "anthropic-messages", "/messages"),
    # Pi appends /v1/messages to a base URL that ends in /v1 already.
    "/openrouter/api/v1/v1/messages": Endpoint("openrouter", "anthropic-messages", "/messages"),
}

_OUTWARD = {
    "anthropic-messages": ("anthropic-version", "anthropic-beta", "x-session-id"),
    "openai-responses": ("openai-beta", "session-id", "x-client-request-id"),
    "openai-completions": ("x-session-id",),
}
_INWARD = ("content-type", "retry-after", "retry-after-ms", "request-id", "x-request-id", "x-should-retry")
_INWARD_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")


def outward_headers(endpoint: Endpoint, incoming: Mapping[str, str], api_key: str) -> dict[str, str]:
    """The headers of the request to the provider: allowed ones from inside, and the key."""
    headers = {name: incoming[name] for name in _OUTWARD[endpoint.wire] if name in incoming}
    headers["Content-Type"] = "application/json"
    headers["Accept-Encoding"] = "identity"  # what is compressed could not be scrubbed
    headers["User-Agent"] = "agentcontainer"
    if endpoint.provider == "anthropic":
        headers["x-api-key"] = api_key
    else:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def inward_headers(answer: Mapping[str, str]) -> dict[str, str]:
    """The headers of a provider's answer that pass inwards (not yet scrubbed), without those that no header can be."""
    return {
        name: value
        for name, value in answer.items()
        if (name.lower() in _INWARD or name.lower().startswith(_INWARD_PREFIXES)) and value.isprintable()
    }


def answer_fault(status: int, headers: MultiMapping[str]) -> str | None:
    """Why an answer cannot be passed on, whatever its body: what the provider did; None: it can."""
    if 300 <= status < 400:
        return "answered with a redirect, which is not followed"
    if not 200 <= status < 600:
        return "answered with a status that is not one of an answer"
    encodings = headers.getall("Content-Encoding", ["identity"])
    codings = headers.getall("Transfer-Encoding", ["chunked"])
    if [*map(str.lower, encodings)] != ["identity"] or [*map(str.lower, codings)] != ["chunked"]:
        return "answered in an encoding that was not asked for"  # what is compressed could not be scrubbed
    return None


def url(endpoint: Endpoint, base_url: str, query: str) -> str:
    """Where the request goes. Of queries only the one that Anthropic's SDK sends passes."""
    return base_url.rstrip("/") + endpoint.path + ("?beta=true" if query == "beta=true" else "")


_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def error_body(wire: Wire, status: int, message: str) -> dict[str, Any]:
    """An error of ours in the shape the provider's own would have, so that its SDK shows the message."""
    if wire == "anthropic-messages":
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}
