"""Changes a task: its title, its metadata, and its budget, whose raise wakes a task that waits for it."""

from dataclasses import replace

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.conversations import store as conversation_store
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.model import Budget, Execution, OnReached
from agentcontainer.domain.execution.service import check_prices
from agentcontainer.domain.hibernation.service import wake_locked
from agentcontainer.domain.models import prices
from agentcontainer.domain.models.prices import Price
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks import store as task_store
from agentcontainer.domain.tasks.model import Task, TaskChange
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.errors import Conflict, NotFound, ValidationError
from agentcontainer.settings import Settings


async def change(pool: Pool, settings: Settings, account_id: str, task_id: str, change: TaskChange) -> Task:
    """Change the task; returns it. A budget that is raised above what is used wakes a task that waits for it.

    Raises:
        NotFound: no such task.
        Conflict: the budget of a task that has ended.
        ValidationError: the budget is below what is used, or too little to go on with; names the field.
    """
    async with db.transaction(pool) as connection:
        task = await task_store.lock(connection, task_id, account_id)
        if task is None:
            raise NotFound(f"Task {task_id} does not exist.")
        if change.budget is not None:
            await _change_budget(connection, settings, task, change.budget, change.on_reached)
        await task_store.describe(connection, task_id, change)
        return await tasks.get(connection, account_id, task_id)


async def _change_budget(
    connection: Connection, settings: Settings, task: Task, limits: Budget, on_reached: OnReached | None
) -> None:
    if task.status in TERMINAL:
        raise Conflict(f"Task {task.id} is {task.status}: its budget cannot be changed.")
    budget = (task.execution.budget or Budget()).changed(limits)
    if on_reached is not None:
        budget = replace(budget, on_reached=on_reached)
    _check_used(task, budget)
    execution = replace(task.execution, budget=budget)
    price = await _check_price(connection, settings, task, execution)
    if (queued := await conversation_store.last_queued_execution(connection, task.id)) is not None:
        await _check_price(connection, settings, task, replace(queued.execution, budget=budget))
    locked = await conversations.lock(connection, task.account_id, task.id)
    is_paused = task.status is Status.HIBERNATING and task.hibernation_reason == "budget"
    if is_paused or locked.waits_for_budget:
        least_budget.check_raise(execution, settings, task, price)
    await task_store.set_budget(connection, task.id, budget)
    await conversation_store.set_queued_budget(connection, task.id, budget)
    if is_paused:
        await wake_locked(connection, task.id, "budget")
    elif locked.waits_for_budget:
        await conversations.begin_queued(connection, locked)


async def _check_price(
    connection: Connection, settings: Settings, task: Task, execution: Execution
) -> Price | None:
    """Check that a limit in dollars can be kept. Returns the price of an endpoint of the account's own."""
    endpoint = await accounts.own_endpoint(connection, task.account_id, execution.provider, "budget")
    price = prices.of_endpoint(endpoint.rates) if endpoint else None
    if execution.budget is not None and execution.budget.max_cost_micro_usd is not None:
        check_prices(execution, settings, price, "budget.maxCostUsd")
    return price


def _check_used(task: Task, budget: Budget) -> None:
    used_tokens = task.input_tokens + task.output_tokens + task.unreported_tokens
    if budget.max_tokens is not None and budget.max_tokens < used_tokens:
        raise ValidationError.at("budget.maxTokens", f"must be at least {used_tokens}, which is used")
    cost, used_cost = budget.max_cost_micro_usd, task.model_cost_micro_usd
    if cost is not None and cost < used_cost:
        raise ValidationError.at(
            "budget.maxCostUsd", f"must be at least {used_cost / 1_000_000:g}, which is used"
        )
