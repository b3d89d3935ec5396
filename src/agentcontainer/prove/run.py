"""Runs attempts, each as an attack and then as a control, and decides their outcomes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from agentcontainer.errors import AgentContainerError
from agentcontainer.prove.attempt import Attempt, Group, Outcome, Untried
from agentcontainer.prove.trial import Setup, trial

AT_A_TIME = 4


async def run(setup: Setup, groups: Sequence[Group], is_root: bool) -> AsyncGenerator[Outcome]:
    """The outcome of every attempt, in the order of the groups; `AT_A_TIME` of them run at the same time."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def judge_one(group: Group, attempt: Attempt) -> Outcome:
        async with places:
            return await judge(setup, group.name, attempt)

    running = [
        asyncio.create_task(judge_one(group, attempt))
        for group in groups
        for attempt in group.attempts
        if is_root or not attempt.is_for_root
    ]
    try:
        for task in running:
            yield await task
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def judge(setup: Setup, group: str, attempt: Attempt) -> Outcome:
    """Run the attack, and its control unless the attack got through."""
    try:
        if await _gets_through(setup, attempt, is_control=False):
            lacking = _lacking(setup, attempt)
            return Outcome(group, attempt, "unprotected" if lacking else "got through", lacking)
    except (Untried, AgentContainerError, OSError) as error:
        return Outcome(group, attempt, "inconclusive", f"the attack could not be run: {error}")
    try:
        if await _gets_through(setup, attempt, is_control=True):
            return Outcome(group, attempt, "blocked")
    except (Untried, AgentContainerError, OSError) as error:
        return Outcome(group, attempt, "inconclusive", f"the control could not be run: {error}")
    return Outcome(
        group,
        attempt,
        "inconclusive",
        "the control failed too, so something else on this host blocks the attempt",
    )


def _lacking(setup: Setup, attempt: Attempt) -> str:
    """The limit that would stop the attempt and that this host lacks; empty: it lacks none."""
    if attempt.controller is None:
        return ""
    if attempt.controller == "disk":
        reason = setup.volumes.weak_reason
        return f"workspaces are measured here, not limited: {reason}" if reason else ""
    if setup.sandboxes.has(attempt.controller):
        return ""
    return f"this host provides no control group for {attempt.controller}"


async def _gets_through(setup: Setup, attempt: Attempt, is_control: bool) -> bool:
    async with trial(setup, is_control) as current:
        arguments = await attempt.prepare(current)
        place = attempt.control if is_control else attempt.attack
        return attempt.has_got_through(current, await place(current, attempt.payload, arguments))
