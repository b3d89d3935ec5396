"""A cancel is never lost, because the caller would wait for the cancelled task forever."""

import asyncio

import pytest

from agentcontainer import db
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.agent.steering import Steering


class NoMessages:
    """A pool of connections to a database without messages."""

    async def fetch(self, *_: object) -> list[object]:
        return []


async def give(_id: str, _content: str) -> None:
    raise AssertionError("there is no message")


@pytest.mark.parametrize("steps", range(6))
async def test_steering_can_be_cancelled_at_any_step(steps: int) -> None:
    steering = Steering(NoMessages(), Claim("tsk_1", 1))  # pyright: ignore[reportArgumentType]
    running = asyncio.create_task(steering.run(give))
    await asyncio.sleep(0.01)
    steering.look()
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=1)
    assert running.cancelled()


async def test_a_broken_connection_does_not_swallow_a_cancel() -> None:
    async def act() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ConnectionResetError("gone")

    acting = asyncio.create_task(db.retry_while_unavailable(act))
    await asyncio.sleep(0.01)
    acting.cancel()
    await asyncio.wait([acting], timeout=1)
    assert acting.cancelled()


async def test_a_cancelled_task_may_still_retry_in_its_cleanup() -> None:
    tries: list[int] = []

    async def tidy() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionResetError("gone")

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await db.retry_while_unavailable(tidy)

    working = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.wait([working], timeout=60)
    assert working.cancelled()
    assert len(tries) == 2
