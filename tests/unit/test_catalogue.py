"""Names of models: both spellings, other providers' models, and unknown ones."""

from decimal import Decimal

import pytest

from agentcontainer.domain.models import catalogue
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.providers import PROVIDERS


@pytest.mark.parametrize(
    ("provider", "model", "wire"),
    [
        ("anthropic", "claude-sonnet-4.6", "claude-sonnet-4-6"),
        ("anthropic", "claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku-latest"),
        ("anthropic", "claude-sonnet-99.1", "claude-sonnet-99-1"),
        ("openrouter", "anthropic/claude-sonnet-4.6", "anthropic/claude-sonnet-4.6"),
        ("openrouter", "anthropic/claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"),
        ("openrouter", "acme/new-2.5", "acme/new-2.5"),
        ("openai", "gpt-5.1", "gpt-5.1"),
        ("openai", "gpt-5-1", "gpt-5.1"),
        ("openai", "o3", "o3"),
    ],
)
def test_both_spellings_of_a_model_become_the_providers(provider: str, model: str, wire: str) -> None:
    assert catalogue.wire_id(provider, model) == wire
    assert catalogue.check(provider, model) is None


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "claude-sonnet-4.6", "a model of anthropic, not of openai"),
        ("openai", "claude-sonnet-4-6", "a model of anthropic, not of openai"),
        ("anthropic", "gpt-5.1", "a model of openai, not of anthropic"),
        ("openrouter", "gpt-5.1", "openrouter calls it openai/gpt-5.1"),
        ("openrouter", "claude-sonnet-4-6", "openrouter calls it anthropic/claude-sonnet-4.6"),
        ("anthropic", "anthropic/claude-sonnet-4-6", "anthropic calls it claude-sonnet-4-6"),
    ],
)
def test_a_model_known_as_another_providers_only_is_refused(provider: str, model: str, reason: str) -> None:
    assert reason in (catalogue.check(provider, model) or "")


@pytest.mark.parametrize("provider", sorted(PROVIDERS.keys() - {"offline"}))
@pytest.mark.parametrize("model", ["brand-new-model-7", "vendor/thing:free", "~vendor/latest", "@cf/x"])
def test_an_unknown_model_is_accepted_unchanged(provider: str, model: str) -> None:
    assert catalogue.check(provider, model) is None


@pytest.mark.parametrize(
    "model", ["", "--mode", "a b", "a\nb", "a\x00", "claude-söt", "x" * 201, '"', "$(id)", "-x"]
)
def test_an_invalid_model_id_is_refused(model: str) -> None:
    assert "must be a model id" in (catalogue.check("anthropic", model) or "")


def test_the_providers_of_a_model() -> None:
    assert catalogue.providers_of("claude-sonnet-4.6") == {"anthropic"}
    assert catalogue.providers_of("anthropic/claude-sonnet-4-6") == {"openrouter"}
    assert catalogue.providers_of("nobody-has-this") == frozenset()


def test_the_catalogue_has_limits_and_prices_of_a_model() -> None:
    model = catalogue.find("anthropic", "claude-sonnet-4.6")
    assert model is not None
    assert (model.context_window, model.max_tokens) == (1_000_000, 128_000)
    assert model.rates == Rates(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"))
    assert catalogue.find("openai", "nobody-has-this") is None


@pytest.mark.parametrize("provider", sorted(PROVIDERS.keys() - {"offline"}))
def test_no_two_models_of_a_provider_differ_in_dots_only(provider: str) -> None:
    """Otherwise one of them could not be requested in the other spelling."""
    models = catalogue._catalogue()[provider]  # pyright: ignore[reportPrivateUsage]
    assert len(models) > 10
    assert len({id.replace(".", "-").lower() for id in models}) == len(models)
    assert all(catalogue.wire_id(provider, id) == id for id in models)
