"""The provider table: each entry has what the rest of the platform reads from it."""

import pytest

from agentcontainer.domain.models import catalogue, prices
from agentcontainer.gateway.upstreams import ENDPOINTS, endpoints_of
from agentcontainer.providers import PROVIDERS, Provider, WireProtocol, own
from agentcontainer.settings import Settings

KEYED = [provider for provider in PROVIDERS.values() if not provider.is_offline]


@pytest.mark.parametrize("provider", KEYED, ids=lambda provider: provider.name)
def test_each_provider_has_a_base_url_and_known_models(provider: Provider) -> None:
    assert Settings().base_urls[provider.name].startswith("https://")
    assert provider.demo_model is not None
    assert catalogue.is_known(provider.name, provider.demo_model)


def test_no_two_providers_share_a_request_path() -> None:
    assert len(ENDPOINTS) == sum(len(provider.request_paths()) for provider in PROVIDERS.values())
    assert {path: (endpoint.provider, endpoint.path) for path, endpoint in ENDPOINTS.items()} == {
        "/anthropic/v1/messages": ("anthropic", "/v1/messages"),
        "/openai/v1/responses": ("openai", "/responses"),
        "/openrouter/api/v1/chat/completions": ("openrouter", "/chat/completions"),
        "/openrouter/api/v1/messages": ("openrouter", "/messages"),
        "/openrouter/api/v1/v1/messages": ("openrouter", "/messages"),
        "/offline/v1/messages": ("offline", "/v1/messages"),
    }


def test_the_key_goes_into_the_header_that_the_provider_reads() -> None:
    assert PROVIDERS["anthropic"].key_headers("sk") == {"x-api-key": "sk"}
    assert PROVIDERS["openai"].key_headers("sk") == {"Authorization": "Bearer sk"}


def test_the_offline_provider_has_one_model_which_costs_nothing() -> None:
    assert catalogue.check("offline", "offline-script") is None
    assert catalogue.check("offline", "gpt-5.2") == "must be offline-script, the only model of offline"
    assert prices.find("offline", "offline-script", None) == prices.FREE
    assert "offline" not in Settings().base_urls


@pytest.mark.parametrize(
    ("protocol", "path", "headers"),
    [
        ("anthropic-messages", "/own/v1/messages", {"x-api-key": "sk"}),
        ("openai-responses", "/own/responses", {"Authorization": "Bearer sk"}),
        ("openai-completions", "/own/chat/completions", {"Authorization": "Bearer sk"}),
    ],
)
def test_an_endpoint_of_an_account_speaks_its_protocol_with_or_without_a_key(
    protocol: WireProtocol, path: str, headers: dict[str, str]
) -> None:
    provider = own("ollama", protocol)
    assert [*endpoints_of(provider)] == [path]
    assert provider.key_headers("sk") == headers
    assert provider.key_headers("") == {}
    assert provider.is_own and not any(entry.is_own for entry in PROVIDERS.values())
