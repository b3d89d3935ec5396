"""What a task has used of its budget: counts it, and writes an event at 50 %, at 80 %, and when it is used up.

Each event is written once for a budget, whatever is repeated: the task's row says which was the last.
"""

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.tasks import event_data, events, store
from agentcontainer.domain.tasks.event_data import draft
from agentcontainer.domain.tasks.model import USED_UP, Claim, TaskUsage
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.domain.usage import store as usage
from agentcontainer.settings import Settings

WARNINGS = (50, 80)  # percent


async def count(pool: Pool, settings: Settings, claim: Claim, used: TaskUsage) -> Budget | None:
    """Raise what the task's model requests have used; returns its present budget. Idempotent, also after its end."""
    async with db.transaction(pool) as connection:
        spent = await store.raise_usage(connection, claim, used)
        if spent is None:
            return None
        if spent.status in TERMINAL:  # a request that ended after its task, whose end counted what it knew of
            await usage.count(connection, claim.task_id, settings.container_micro_usd_per_minute)
    if spent.status not in TERMINAL and spent.budget is not None:
        percent = spent.budget.percent_used(spent.tokens, spent.micro_usd)
        due = [warning for warning in WARNINGS if spent.budget_reported < warning <= percent]
        for warning in due:
            await _warn(pool, claim, warning, spent.micro_usd / 1_000_000, spent.tokens)
    return spent.budget


async def _warn(pool: Pool, claim: Claim, percent: int, used_usd: float, used_tokens: int) -> None:
    async with db.transaction(pool) as connection:
        if await store.set_budget_reported(connection, claim, percent):
            data = event_data.BudgetWarning(percent, used_usd, used_tokens)
            await events.append(connection, claim.task_id, [draft(data)], claim)


async def reach(connection: Connection, claim: Claim) -> None:
    """Log that the budget is used up, unless that was logged for this budget, or the claim is lost."""
    if not await store.set_budget_reported(connection, claim, USED_UP):
        return
    task = await store.get(connection, claim.task_id)
    if task is not None and task.execution.budget is not None:
        tokens = task.input_tokens + task.output_tokens + task.unreported_tokens
        data = event_data.BudgetReached(
            task.model_cost_micro_usd / 1_000_000, tokens, task.execution.budget.on_reached
        )
        await events.append(connection, claim.task_id, [draft(data)], claim)


async def report_reached(pool: Pool, claim: Claim) -> None:
    """`reach`, in a transaction of its own."""
    async with db.transaction(pool) as connection:
        await reach(connection, claim)


async def read(pool: Pool, task_id: str) -> Budget | None:
    """The task's present budget, which its client may have raised."""
    task = await store.get(pool, task_id)
    return None if task is None else task.execution.budget
