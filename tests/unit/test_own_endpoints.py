"""The execution of a task whose provider is an endpoint of its account's own."""

from decimal import Decimal

import pytest

from agentcontainer.domain.execution.model import Budget, Overrides
from agentcontainer.domain.execution.service import platform_defaults, resolve
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.domain.models.prices import of_endpoint
from agentcontainer.errors import ValidationError
from agentcontainer.gateway.route import Route
from agentcontainer.settings import Settings

SETTINGS = Settings()
DEFAULTS = platform_defaults(SETTINGS)
RATES = Rates(Decimal("0.1"), Decimal("0.4"), Decimal("0.1"), Decimal("0.1"))


@pytest.mark.parametrize("model", ["qwen3:8b", "Qwen/Qwen3-32B", "claude-sonnet-4-6", "my-deployment"])
def test_it_may_have_any_model(model: str) -> None:
    execution = resolve(DEFAULTS, Overrides(provider="ollama", model=model), SETTINGS)
    assert (execution.provider, execution.model) == ("ollama", model)


def test_it_needs_a_model() -> None:
    with pytest.raises(ValidationError, match=r"overrides\.model: is needed"):
        resolve(DEFAULTS, Overrides(provider="ollama"), SETTINGS)


def test_tokens_can_be_limited_without_a_price_and_money_only_with_one() -> None:
    chosen = Overrides(provider="ollama", model="qwen3:8b", budget=Budget(max_tokens=100_000))
    assert resolve(DEFAULTS, chosen, SETTINGS).budget == Budget(max_tokens=100_000)
    money = Overrides(provider="ollama", model="qwen3:8b", budget=Budget(max_cost_micro_usd=1_000_000))
    with pytest.raises(ValidationError, match="store it with PUT /api/v1/provider-keys/ollama"):
        resolve(DEFAULTS, money, SETTINGS)
    assert resolve(DEFAULTS, money, SETTINGS, of_endpoint(RATES)).provider == "ollama"


def test_a_route_to_it_needs_no_key_but_a_malformed_one_is_not_sent() -> None:
    def route(key: str | None) -> Route:
        return Route("ollama", "http://models.corp/v1", frozenset(), key, protocol="openai-completions")

    assert route(None).has_usable_key and route("").has_usable_key and route("sk-1").has_usable_key
    assert not route("sk-é").has_usable_key
    assert not Route("openai", "https://api.openai.com/v1", frozenset(), None).has_usable_key
