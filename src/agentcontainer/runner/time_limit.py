"""Enforces the soft and the hard limit of a task's container time."""

import asyncio
import contextlib

from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner.agent.session import Session
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.ending import Ending


async def enforce(context: AttemptContext, session: Session, used_seconds: float = 0.0) -> Ending:
    """Ask the agent to wrap up at the soft limit, and end commands that run too long; return an ending at the hard one.

    The limits of a task hold for all its attempts together, of which `used_seconds` are used already. In a
    conversation they hold for each turn.
    """
    execution, mode = context.task.execution, context.mode
    soft_limit, hard_limit = execution.soft_finish_after_seconds, execution.max_runtime_seconds
    if soft_limit is not None:
        await asyncio.sleep(max(0.0, soft_limit - used_seconds))
        used_seconds = max(used_seconds, soft_limit)
        seconds_left = max(0.0, hard_limit - used_seconds)
        await session.wrap_up(round(seconds_left), is_conversation=mode.is_conversation)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds_left):
                await session.limit_commands(seconds_left)
    else:
        await asyncio.sleep(max(0.0, hard_limit - used_seconds))
    subject = "turn" if mode.is_conversation else "task"
    return Ending(
        EndReason.MAX_RUNTIME_EXCEEDED,
        f"The {subject} reached its limit of {hard_limit} seconds of container time.",
    )
