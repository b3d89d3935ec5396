"""What the asynchronous client uses of asyncio; `_sync/concurrency.py` is the same with threads."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

sleep = asyncio.sleep


async def in_parallel(work: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """The results of all, in order. The first failure cancels the rest."""
    room = asyncio.Semaphore(max(1, at_once))

    async def run(item: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await item()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(item)) for item in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def settle(outcome: object) -> None:
    """Wait for what a callback returned, if it can be awaited."""
    if inspect.isawaitable(outcome):
        await outcome
