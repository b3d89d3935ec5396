"""The model providers: an entry of `PROVIDERS` holds all that the platform knows about one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WireProtocol = Literal["anthropic-messages", "openai-responses", "openai-completions"]

WIRE_PROTOCOLS: tuple[WireProtocol, ...] = ("anthropic-messages", "openai-responses", "openai-completions")
OWN_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
OWN_GATEWAY_PATH = "/own"

# What a client of the protocol appends to the base URL that it is configured with.
_CLIENT_PATHS: Mapping[WireProtocol, str] = {
    "anthropic-messages": "/v1/messages",
    "openai-responses": "/responses",
    "openai-completions": "/chat/completions",
}


@dataclass(frozen=True)
class Endpoint:
    """One API operation of a provider.

    `path` is appended to the provider's base URL. `gateway_paths` are further paths, below the provider's gateway
    path, at which the gateway takes requests for it.
    """

    protocol: WireProtocol
    path: str
    gateway_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """One model provider: its own, fixed facts. Where it is reached is the setting `base_url_setting`."""

    name: str
    """As in the API, in the settings and in the price file."""
    title: str
    """As shown to people."""
    endpoints: tuple[Endpoint, ...]
    """The first is the one that the agent uses for models which it does not know, and the platform for titles."""
    gateway_path: str
    """What the agent's base URL has after the gateway's address."""
    key_header: Literal["x-api-key", "Authorization"] = "Authorization"
    key_check_path: str = "/models"
    """Below its base URL: a GET that costs nothing, and succeeds only with a key that is valid."""
    base_url_setting: str | None = None
    """The field of `Settings` that holds its base URL."""
    key_variable: str | None = None
    """The environment variable from which `agentcontainer demo` takes a key."""
    demo_model: str | None = None
    writes_dots_as_dashes: bool = False
    """Whether its model ids have dashes where others write dots, as in claude-sonnet-4-6."""
    has_images: bool = True
    """Whether to assume that a model which the catalogue does not know takes images."""
    only_model: str | None = None
    """Its one model, which a change to this provider implies; None: it has many."""
    is_offline: bool = False
    """Whether the platform itself serves it, without a key and without cost."""

    @property
    def protocol(self) -> WireProtocol:
        """The protocol of its first endpoint."""
        return self.endpoints[0].protocol

    @property
    def is_own(self) -> bool:
        """Whether it is an endpoint that an account added, and not a provider of the platform."""
        return self.gateway_path == OWN_GATEWAY_PATH

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The request headers that carry the key; without a key there are none."""
        if not api_key:
            return {}
        is_bearer = self.key_header == "Authorization"
        return {self.key_header: f"Bearer {api_key}" if is_bearer else api_key}

    def request_paths(self) -> dict[str, Endpoint]:
        """The paths at which the gateway takes requests for this provider, with the endpoint of each."""
        return {
            self.gateway_path + path: endpoint
            for endpoint in self.endpoints
            for path in (_CLIENT_PATHS[endpoint.protocol], *endpoint.gateway_paths)
        }


_ENTRIES = (
    Provider(
        name="anthropic",
        title="Anthropic",
        endpoints=(Endpoint("anthropic-messages", "/v1/messages"),),
        gateway_path="/anthropic",
        key_header="x-api-key",
        key_check_path="/v1/models",
        base_url_setting="anthropic_base_url",
        key_variable="ANTHROPIC_API_KEY",
        demo_model="claude-sonnet-4-6",
        writes_dots_as_dashes=True,
    ),
    Provider(
        name="openai",
        title="OpenAI",
        endpoints=(Endpoint("openai-responses", "/responses"),),
        gateway_path="/openai/v1",
        base_url_setting="openai_base_url",
        key_variable="OPENAI_API_KEY",
        demo_model="gpt-5.2",
    ),
    Provider(
        name="openrouter",
        title="OpenRouter",
        endpoints=(
            Endpoint("openai-completions", "/chat/completions"),
            Endpoint("anthropic-messages", "/messages", gateway_paths=("/messages",)),
        ),
        gateway_path="/openrouter/api/v1",
        key_check_path="/key",  # it lists its models to everybody
        base_url_setting="openrouter_base_url",
        key_variable="OPENROUTER_API_KEY",
        demo_model="anthropic/claude-sonnet-4.6",
        has_images=False,
    ),
    Provider(
        name="offline",
        title="Offline script, no AI",
        endpoints=(Endpoint("anthropic-messages", "/v1/messages"),),
        gateway_path="/offline",
        key_header="x-api-key",
        key_check_path="/v1/models",
        only_model="offline-script",
        is_offline=True,
    ),
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _ENTRIES}
OFFLINE = PROVIDERS["offline"]


def own(name: str, protocol: WireProtocol) -> Provider:
    """The provider entry of an endpoint that an account added under this name."""
    is_anthropic = protocol == "anthropic-messages"
    return Provider(
        name=name,
        title=name,
        endpoints=(Endpoint(protocol, _CLIENT_PATHS[protocol]),),
        gateway_path=OWN_GATEWAY_PATH,
        key_header="x-api-key" if is_anthropic else "Authorization",
        key_check_path="/v1/models" if is_anthropic else "/models",
        has_images=protocol != "openai-completions",  # most self-hosted servers have text models
    )
