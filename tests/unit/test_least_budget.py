"""The least budget is what the gateway needs for two requests, at the model's prices."""

from dataclasses import dataclass, replace

import pytest

from agentcontainer import settings
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.model import Budget, Overrides
from agentcontainer.domain.execution.service import platform_defaults, resolve
from agentcontainer.errors import ValidationError

SETTINGS = settings.load()
EXECUTION = resolve(platform_defaults(SETTINGS), Overrides(), SETTINGS)


@dataclass(frozen=True)
class Spent:
    """What a task has used."""

    input_tokens: int = 0
    output_tokens: int = 0
    unreported_tokens: int = 0
    model_cost_micro_usd: int = 0


def fault(budget: Budget, texts: tuple[str, ...] = ("Do it.",), model: str = "claude-sonnet-4-6") -> str:
    try:
        least_budget.check(replace(EXECUTION, budget=budget, model=model), SETTINGS, texts)
    except ValidationError as error:
        return str(error)
    return ""


def test_the_amount_in_the_message_is_accepted_and_nothing_below_it() -> None:
    assert fault(Budget(max_tokens=1)).endswith("give at least 21000")
    assert fault(Budget(max_tokens=20_999)) != ""
    assert fault(Budget(max_tokens=21_000)) == ""
    assert "maxCostUsd" in fault(Budget(max_cost_micro_usd=50_000))
    assert fault(Budget(max_cost_micro_usd=50_000)).endswith("give at least 0.12")
    assert fault(Budget(max_cost_micro_usd=120_000)) == ""


def test_the_amount_grows_with_the_instructions_the_price_and_what_is_used() -> None:
    assert fault(Budget(max_tokens=21_000), ("words " * 2000,)) != ""
    assert fault(Budget(max_cost_micro_usd=120_000), model="claude-opus-4-5") != ""


def test_a_later_budget_counts_what_is_used() -> None:
    spent = Spent(3000, 1000, 1000, 10_000)
    for budget in (Budget(max_tokens=25_000), Budget(max_cost_micro_usd=120_000)):
        overrides, execution = Overrides(budget=budget), replace(EXECUTION, budget=budget)
        with pytest.raises(
            ValidationError, match=r"in addition to what the task has used: give at least (26000|0.13)"
        ):
            least_budget.check_change(overrides, execution, SETTINGS, spent)
        least_budget.check_change(Overrides(), execution, SETTINGS, spent)


@pytest.mark.parametrize("budget", [None, Budget(max_cost_micro_usd=10_000_000), Budget(max_tokens=10**12)])
def test_a_larger_budget_or_none_is_accepted(budget: Budget | None) -> None:
    least_budget.check(replace(EXECUTION, budget=budget), SETTINGS, ("Do it.",))
