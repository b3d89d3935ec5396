"""Hibernates a task whose provider stays overloaded or unavailable, and wakes it to try again later."""

from datetime import timedelta

from agentcontainer import crash, db
from agentcontainer.domain.tasks.model import Hibernation
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.gateway.patience import Patience
from agentcontainer.runner.agent.session import Session
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.ending import Ending
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, HostCannotSave
from agentcontainer.runner.workspace.checkpointer import Checkpointer

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30))  # the last one is repeated


def wait_before(failures: int, retry_after_seconds: float) -> timedelta:
    """How long a task hibernates after its provider stayed unavailable in `failures` earlier attempts."""
    return max(WAITS[min(failures, len(WAITS) - 1)], timedelta(seconds=retry_after_seconds))


async def watch(
    context: AttemptContext, patience: Patience, session: Session, checkpointer: Checkpointer
) -> Ending:
    """Wait until a model request has waited as long as it may. Returns the ending that hibernates the task, or
    fails it after `provider_outage_hours`.

    Raises:
        HostCannotSave: this host or the object store is at fault.
    """
    outage = await patience.outage
    task, message = context.task, outage.message
    since = None if patience.was_answered else task.provider_outage_since
    limit = timedelta(hours=context.services.settings.provider_outage_hours)
    pool = context.services.pool
    now = await db.retry_while_unavailable(lambda: db.now(pool))
    if since is not None and now - since >= limit:
        return Ending(EndReason.PROVIDER_ERROR, message)
    checkpoint_id: str | None = None
    if (
        session.is_begun.is_set()
    ):  # before, Pi's session does not contain the prompt: the next attempt gives it again
        try:
            checkpoint_id = (await checkpointer.save_with_retries(is_limited=True)).checkpoint.id
        except HostCannotSave:
            raise
        except CheckpointFailed as error:
            return Ending(EndReason.PROVIDER_ERROR, f"{message} {error}")
    crash.reach("outage")
    wait = wait_before(0 if since is None else task.provider_failures, outage.retry_after_seconds)
    now = await db.retry_while_unavailable(lambda: db.now(pool))
    hibernation = Hibernation(message, now + wait, checkpoint_id, reason="provider")
    return Ending(EndReason.HIBERNATED, hibernation=hibernation)
