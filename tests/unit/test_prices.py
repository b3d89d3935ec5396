"""What model requests cost, and the operator's price file."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentcontainer import settings
from agentcontainer.domain.models import prices
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.domain.models.prices import Price
from agentcontainer.errors import SettingsError
from agentcontainer.price_file import read


def rates(*values: str) -> Rates:
    return Rates(*map(Decimal, values))


SONNET = Price(rates("3", "15", "0.3", "3.75"))


def test_each_kind_of_token_has_its_rate_and_parts_of_a_micro_dollar_are_rounded_up() -> None:
    assert SONNET.cost(1000, 100) == 4500
    assert SONNET.cost(1000, 100, cache_read=500, cache_write=200) == 900 + 150 + 750 + 1500
    assert SONNET.cost(1000, 0, cache_write=1000, long_write=1000) == 6000
    assert SONNET.cost(1, 0, cache_read=1) == 1


def test_above_a_threshold_the_higher_price_applies_to_the_whole_request() -> None:
    tiered = Price(rates("1", "2", "1", "1"), ((100, rates("5", "6", "5", "5")),))
    assert tiered.cost(100, 10) == 120
    assert tiered.cost(101, 10) == 101 * 5 + 60
    assert tiered.max_cost(100, 10) == 120
    assert tiered.max_cost(101, 10) == 101 * 5 + 60


@pytest.mark.parametrize("micro_usd", [0, 1, 3749, 3750, 3751, 20_000])
def test_the_affordable_output_is_the_largest_that_can_be_paid(micro_usd: int) -> None:
    output = SONNET.affordable_output(micro_usd, 1000)
    assert output is not None
    if output < 0:
        assert SONNET.max_cost(1000, 0) > micro_usd
    else:
        assert SONNET.max_cost(1000, output) <= micro_usd < SONNET.max_cost(1000, output + 1)


def test_the_catalogue_has_prices_tiers_and_free_models_but_no_price_for_routers() -> None:
    assert prices.find("anthropic", "claude-sonnet-4.6", None) == SONNET
    tiered = prices.find("openai", "gpt-5.4", None)
    assert tiered is not None
    assert tiered.tiers[0][0] == 272_000
    free = prices.find("openrouter", "google/gemma-4-31b-it:free", None)
    assert free is not None
    assert free.affordable_output(1, 10**6) is None
    assert prices.find("openrouter", "openrouter/auto", None) is None
    assert prices.find("openai", "nobody-knows-it", None) is None


def test_the_price_file_wins_in_either_spelling(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"anthropic": {"claude-sonnet-4.6": {"input": 1.5, "output": 2}}}')
    file = settings.load(model_prices_file=path).model_prices_file
    assert prices.find("anthropic", "claude-sonnet-4-6", file) == Price(rates("1.5", "2", "1.5", "1.5"))
    assert prices.find("anthropic", "claude-haiku-4-5", file) == prices.find(
        "anthropic", "claude-haiku-4-5", None
    )
    assert read(None) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not JSON"),
        ([], "the file must be a JSON object"),
        ({"mistral": {}}, "mistral"),
        ({"openai": []}, "openai must be a JSON object"),
        ({"openai": {"m": {"input": 1}}}, "openai.m lacks output"),
        ({"openai": {"m": {"input": 1, "output": 2, "price": 3}}}, "openai.m has price"),
        ({"openai": {"m": {"input": "1", "output": 2}}}, "openai.m.input must be a number"),
        ({"openai": {"m": {"input": -1, "output": 2}}}, "openai.m.input must be a number"),
        ({"openai": {"m": {"input": True, "output": 2}}}, "openai.m.input must be a number"),
        ('{"openai": {"m": {"input": NaN, "output": 2}}}', "openai.m.input must be a number"),
    ],
)
def test_a_wrong_price_file_stops_the_start_with_a_sentence(
    tmp_path: Path, content: Any, reason: str
) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(SettingsError) as caught:
        settings.load(model_prices_file=path)
    assert "AGENTCONTAINER_MODEL_PRICES_FILE" in str(caught.value)
    assert reason in str(caught.value)


def test_a_missing_price_file_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load(model_prices_file=tmp_path / "none.json")
