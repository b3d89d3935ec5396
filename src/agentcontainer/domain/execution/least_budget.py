"""Refuses a budget that cannot carry two model requests: one to look at the task and one to call `finish`.

It counts as the gateway does, which reserves the most that a request can use, and keeps one last request free
beside it. A smaller budget would fail after a first request, with most of it unused.
"""

from collections.abc import Sequence
from typing import Protocol

from agentcontainer.domain.execution.model import Budget, Execution, Overrides
from agentcontainer.domain.models import prices
from agentcontainer.domain.models.token_estimate import tokens_at_most
from agentcontainer.domain.unset import UNSET
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

FIRST_INPUT = (
    5000  # the estimate for an agent's first request beside the client's texts: Pi's own prompt and tools
)
OUTPUT = 1024  # of each request: enough for a tool call


class Spending(Protocol):
    """A task, with what its model requests have used."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def unreported_tokens(self) -> int: ...
    @property
    def model_cost_micro_usd(self) -> int: ...


def check(execution: Execution, settings: Settings, texts: Sequence[str]) -> None:
    """Check the budget of a new task. `texts`: what its first request contains of the client's.

    Raises:
        ValidationError: the budget is too small; names the field and the least amount.
    """
    _check(execution, settings, texts)


def check_change(overrides: Overrides, execution: Execution, settings: Settings, task: Spending) -> None:
    """Check the budget that these overrides set, if any, beside what the task has used. Raises as `check` does."""
    if overrides.budget is not UNSET:
        used_tokens = task.input_tokens + task.output_tokens + task.unreported_tokens
        _check(execution, settings, (), used_tokens, task.model_cost_micro_usd)


def _check(
    execution: Execution,
    settings: Settings,
    texts: Sequence[str],
    used_tokens: int = 0,
    used_micro_usd: int = 0,
) -> None:
    if execution.budget is None:
        return
    first = FIRST_INPUT + sum(tokens_at_most(text.encode(errors="replace")) for text in texts)
    inputs = (first, first + OUTPUT, first + OUTPUT)
    _check_tokens(execution.budget, inputs, used_tokens)
    _check_cost(execution.budget, execution, settings, inputs, used_micro_usd)


def _check_tokens(budget: Budget, inputs: Sequence[int], used: int) -> None:
    least = _rounded_up(used + sum(inputs) + len(inputs) * OUTPUT)
    if budget.max_tokens is not None and budget.max_tokens < least:
        raise ValidationError.at("overrides.budget.maxTokens", _fault(str(least), used > 0))


def _check_cost(
    budget: Budget, execution: Execution, settings: Settings, inputs: Sequence[int], used: int
) -> None:
    price = prices.find(execution.provider, execution.model, settings.model_prices_file)
    if budget.max_cost_micro_usd is None or price is None:
        return
    least = _rounded_up(used + sum(price.max_cost(input_, OUTPUT) for input_ in inputs))
    if budget.max_cost_micro_usd < least:
        raise ValidationError.at("overrides.budget.maxCostUsd", _fault(f"{least / 1_000_000:g}", used > 0))


def _fault(least: str, is_used: bool) -> str:
    used = ", beside what the task has used already" if is_used else ""
    return f"is too little for two model requests{used}: give at least {least}"


def _rounded_up(amount: int) -> int:
    """Rounded up to two digits."""
    unit = 10 ** max(0, len(str(amount)) - 2)
    return -(-amount // unit) * unit
