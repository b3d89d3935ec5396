"""Running the attempts: each attack, then its control, and what they show together."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from agentcontainer.errors import AgentContainerError
from agentcontainer.prove.attempt import Attempt, Group, Outcome, Untried
from agentcontainer.prove.trial import Setup, trial

AT_A_TIME = 4


async def run(setup: Setup, groups: Sequence[Group], is_root: bool) -> AsyncGenerator[Outcome]:
    """The outcome of every attempt, in the order of the groups, some at a time."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(group: Group, attempt: Attempt) -> Outcome:
        async with places:
            return await judge(setup, group.name, attempt)

    running = [
        asyncio.create_task(one(group, attempt))
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
    """One attack and its control. Of what got through no control is needed."""
    try:
        if await _gets_through(setup, attempt, is_control=False):
            lacking = _lacking(setup, attempt)
            return Outcome(group, attempt, "unprotected" if lacking else "got through", lacking)
    except (Untried, AgentContainerError, OSError) as error:
        return Outcome(group, attempt, "inconclusive", f"it could not be tried: {error}")
    try:
        if await _gets_through(setup, attempt, is_control=True):
            return Outcome(group, attempt, "blocked")
    except (Untried, AgentContainerError, OSError) as error:
        return Outcome(group, attempt, "inconclusive", f"its control could not be tried: {error}")
    return Outcome(
        group, attempt, "inconclusive", "its control did not succeed either: something else stops it here"
    )


def _lacking(setup: Setup, attempt: Attempt) -> str:
    """What would stop the attempt and this host does not give us."""
    if attempt.controller is None:
        return ""
    if attempt.controller == "disk":
        reason = setup.volumes.weak_reason
        return f"a workspace is watched here, not capped: {reason}" if reason else ""
    if setup.sandboxes.has(attempt.controller):
        return ""
    return f"this host gives us no control group for {attempt.controller}"


async def _gets_through(setup: Setup, attempt: Attempt, is_control: bool) -> bool:
    async with trial(setup, is_control) as one:
        arguments = await attempt.prepare(one)
        place = attempt.control if is_control else attempt.attack
        return attempt.has_got_through(one, await place(one, attempt.payload, arguments))
