"""Refuses a budget that is too small for two model requests: one to look at the task and one to call `finish`.

It counts as the gateway does, which reserves the maximum that a request can use, and keeps enough for one last request.
With a smaller budget the task would fail after its first request, with most of the budget unused.
"""

from collections.abc import Sequence
from typing import Protocol

from agentcontainer.domain.execution.model import Budget, Execution, Overrides
from agentcontainer.domain.models import prices
from agentcontainer.domain.models.prices import Price
from agentcontainer.domain.models.token_estimate import tokens_at_most
from agentcontainer.domain.unset import UNSET
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

FIRST_INPUT = 5000  # estimate of Pi's own prompt and tools, which come with the client's texts
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


def check(
    execution: Execution, settings: Settings, texts: Sequence[str], endpoint_price: Price | None = None
) -> None:
    """Check the budget of a new task. `texts`: the client's texts in its first request. `endpoint_price`: that of
    an endpoint of the account's own.

    Raises:
        ValidationError: the budget is too small; names the field and the minimum.
    """
    _check(execution, settings, texts, endpoint_price)


def check_change(
    overrides: Overrides,
    execution: Execution,
    settings: Settings,
    task: Spending,
    endpoint_price: Price | None = None,
) -> None:
    """Check the budget that these overrides set, if any. It includes what the task has used. Raises as `check` does."""
    if overrides.budget is not UNSET:
        used_tokens = task.input_tokens + task.output_tokens + task.unreported_tokens
        _check(execution, settings, (), endpoint_price, used_tokens, task.model_cost_micro_usd)


def check_raise(
    execution: Execution, settings: Settings, task: Spending, endpoint_price: Price | None = None
) -> None:
    """Check the budget with which a paused task goes on. Raises as `check` does; it names `budget`."""
    used_tokens = task.input_tokens + task.output_tokens + task.unreported_tokens
    _check(execution, settings, (), endpoint_price, used_tokens, task.model_cost_micro_usd, at="budget")


def _check(
    execution: Execution,
    settings: Settings,
    texts: Sequence[str],
    endpoint_price: Price | None,
    used_tokens: int = 0,
    used_micro_usd: int = 0,
    at: str = "overrides.budget",
) -> None:
    if execution.budget is None:
        return
    first = FIRST_INPUT + sum(tokens_at_most(text.encode(errors="replace")) for text in texts)
    inputs = (first, first + OUTPUT, first + OUTPUT)
    _check_tokens(execution.budget, inputs, used_tokens, at)
    if execution.budget.max_cost_micro_usd is not None:
        price = endpoint_price or prices.find(execution.provider, execution.model, settings.model_prices_file)
        _check_cost(execution.budget.max_cost_micro_usd, price, inputs, used_micro_usd, at)


def _check_tokens(budget: Budget, inputs: Sequence[int], used: int, at: str) -> None:
    minimum = _rounded_up(used + sum(inputs) + len(inputs) * OUTPUT)
    if budget.max_tokens is not None and budget.max_tokens < minimum:
        raise ValidationError.at(f"{at}.maxTokens", _fault(str(minimum), used > 0))


def _check_cost(max_micro_usd: int, price: Price | None, inputs: Sequence[int], used: int, at: str) -> None:
    if price is None:
        return
    minimum = _rounded_up(used + sum(price.max_cost(input_, OUTPUT) for input_ in inputs))
    if max_micro_usd < minimum:
        raise ValidationError.at(f"{at}.maxCostUsd", _fault(f"{minimum / 1_000_000:g}", used > 0))


def _fault(minimum: str, is_used: bool) -> str:
    used = " in addition to what the task has used" if is_used else ""
    return f"is too little for two model requests{used}: give at least {minimum}"


def _rounded_up(amount: int) -> int:
    """Rounded up to two digits."""
    unit = 10 ** max(0, len(str(amount)) - 2)
    return -(-amount // unit) * unit
