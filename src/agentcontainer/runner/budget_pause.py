"""Hibernates a task whose budget is used up, if it shall wait until the budget is raised."""

from datetime import timedelta

from agentcontainer import crash, db
from agentcontainer.domain.tasks.model import Hibernation
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner.agent.session import BUDGET_PAUSE, Session
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.ending import Ending
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, HostCannotSave
from agentcontainer.runner.workspace.checkpointer import Checkpointer


async def watch(context: AttemptContext, session: Session, checkpointer: Checkpointer) -> Ending:
    """Wait until the agent has used up a budget that pauses the task. Returns the ending that hibernates it.

    Raises:
        HostCannotSave: this host or the object store is at fault.
    """
    budget = await session.reached_budget
    checkpoint_id: str | None = None
    if session.is_begun.is_set():  # before, the next attempt gives the prompt again
        try:
            checkpoint_id = (await checkpointer.save_with_retries(is_limited=True)).checkpoint.id
        except HostCannotSave:
            raise
        except CheckpointFailed as error:
            return Ending(EndReason.BUDGET_EXCEEDED, f"The budget of this task is used up. {error}")
    crash.reach("budget_pause")
    services = context.services
    now = await db.retry_while_unavailable(lambda: db.now(services.pool))
    until = now + timedelta(days=services.settings.max_hibernation_days)
    hibernation = Hibernation(BUDGET_PAUSE, until, checkpoint_id, "budget", budget)
    return Ending(EndReason.HIBERNATED, hibernation=hibernation)
