"""Decides which request paths and headers are allowed for each provider, and at which URL a request is sent.

The path of a request never reaches a provider: it selects an `Endpoint`, whose URL is fixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from multidict import MultiMapping

from agentcontainer.providers import PROVIDERS, Provider, WireProtocol

Wire = WireProtocol


@dataclass(frozen=True)
class Endpoint:
    """One API operation of a provider; `path` is appended to its base URL."""

    provider: str
    wire: Wire
    path: str


def endpoints_of(provider: Provider) -> dict[str, Endpoint]:
    """The request paths of one provider, with the endpoint of each."""
    return {
        request_path: Endpoint(provider.name, endpoint.protocol, endpoint.path)
        for request_path, endpoint in provider.request_paths().items()
    }


ENDPOINTS: Mapping[str, Endpoint] = {
    path: endpoint for provider in PROVIDERS.values() for path, endpoint in endpoints_of(provider).items()
}

_REQUEST_HEADERS = {
    "anthropic-messages": ("anthropic-version", "anthropic-beta", "x-session-id"),
    "openai-responses": ("openai-beta", "session-id", "x-client-request-id"),
    "openai-completions": ("x-session-id",),
}
_RESPONSE_HEADERS = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "request-id",
    "x-request-id",
    "x-should-retry",
)
_RESPONSE_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")


def request_headers(
    provider: Provider, endpoint: Endpoint, incoming: Mapping[str, str], api_key: str
) -> dict[str, str]:
    """The headers of the request to the provider: those allowed from the sandbox, ours, and the key."""
    headers = {name: incoming[name] for name in _REQUEST_HEADERS[endpoint.wire] if name in incoming}
    headers["Content-Type"] = "application/json"
    headers["Accept-Encoding"] = "identity"  # a compressed response could not be redacted
    headers["User-Agent"] = "agentcontainer"
    return headers | provider.key_headers(api_key)


def main_endpoint(provider: Provider) -> Endpoint:
    """The endpoint of the provider that the platform itself uses."""
    endpoint = provider.endpoints[0]
    return Endpoint(provider.name, endpoint.protocol, endpoint.path)


def response_headers(received: Mapping[str, str]) -> dict[str, str]:
    """The headers of a provider's response that are passed to the sandbox, not yet redacted."""
    return {
        name: value
        for name, value in received.items()
        if (name.lower() in _RESPONSE_HEADERS or name.lower().startswith(_RESPONSE_PREFIXES))
        and value.isprintable()
    }


def response_fault(status: int, headers: MultiMapping[str]) -> str | None:
    """Why a response cannot be passed on, as the predicate of a sentence about the provider; None: it can."""
    if 300 <= status < 400:
        return "answered with a redirect, which is not followed"
    if not 200 <= status < 600:
        return "answered with a status that is not a final HTTP status"
    encodings = headers.getall("Content-Encoding", ["identity"])
    codings = headers.getall("Transfer-Encoding", ["chunked"])
    if [*map(str.lower, encodings)] != ["identity"] or [*map(str.lower, codings)] != ["chunked"]:
        return "answered in an encoding that was not requested"  # a compressed response could not be redacted
    return None


def content_type(headers: Mapping[str, str]) -> str:
    """The content type of a response, without its parameters; empty if it has none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def unexpected_type(headers: Mapping[str, str]) -> str | None:
    """The content type of a successful response that cannot be a model's answer, such as text/html; None: it can."""
    kind = content_type(headers)
    is_expected = not kind or kind == "text/event-stream" or kind.endswith(("json", "ndjson"))
    return None if is_expected or not kind.isprintable() else kind[:100]


def url(endpoint: Endpoint, base_url: str, query: str) -> str:
    """The URL of the request. The only query passed on is the one that Anthropic's SDK sends."""
    return base_url.rstrip("/") + endpoint.path + ("?beta=true" if query == "beta=true" else "")
