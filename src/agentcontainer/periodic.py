"""Runs background loops.

A failure is logged and the loop goes on; if a loop ends, its owner gets an error.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from agentcontainer.repetition import AGAIN_SECONDS, Repetition

logger = logging.getLogger(__name__)


class LoopEnded(RuntimeError):
    """A loop returned, was cancelled by somebody else, or raised what it does not catch (the cause)."""


async def repeat(
    name: str,
    action: Callable[[], Awaitable[object]],
    every_seconds: float,
    expected: tuple[type[Exception], ...] = (),
    log_again_seconds: float = AGAIN_SECONDS,
    retry_seconds: float | None = None,
) -> NoReturn:
    """Call `action`, wait `every_seconds`, and so on until cancelled, whether it succeeds or fails. After a failure
    it waits `retry_seconds` instead, if given.

    `name` says in the log what failed, as in "cleaning images". A failure of an `expected` type is a warning,
    any other an error with its traceback; one of the same type is logged again after `log_again_seconds` at
    the earliest.
    """
    failures = FailureLog(name, expected, log_again_seconds)
    cancels = _cancel_requests()
    while True:
        pause_seconds = every_seconds
        try:
            await action()
        except Exception as error:
            failures.add(error)
            pause_seconds = every_seconds if retry_seconds is None else retry_seconds
        if _cancel_requests() > cancels:  # asyncpg can swallow a CancelledError when its connection drops
            raise asyncio.CancelledError
        await asyncio.sleep(pause_seconds)


@asynccontextmanager
async def background(*loops: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run `loops` during the block and cancel them after it. If one ends earlier, the block is cancelled.

    Raises:
        LoopEnded: one ended during the block.
    """
    owner = asyncio.current_task()
    assert owner is not None
    ended: list[asyncio.Task[None]] = []
    is_leaving, cancels = False, owner.cancelling()

    def on_end(task: asyncio.Task[None]) -> None:
        if not is_leaving:
            ended.append(task)
            owner.cancel()

    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(on_end)
    try:
        yield
    except asyncio.CancelledError:
        if owner.cancelling() > cancels + len(ended):  # somebody else cancelled the owner, too
            raise
    finally:
        is_leaving = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in ended:
            owner.uncancel()
    if ended:
        raise _loop_ended(ended[0])


class FailureLog:
    """Logs failures of what `name` says, but those of one type at most every `again_seconds`."""

    def __init__(
        self, name: str, expected: tuple[type[Exception], ...] = (), again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._name = name
        self._expected = expected
        self._repetition = Repetition(again_seconds)

    def add(self, error: Exception) -> None:
        """Log the failure: one of an `expected` type as a warning, any other as an error with its traceback."""
        unlogged = self._repetition.admit(type(error))
        if unlogged is None:
            return
        text = f"{self._name} failed: {type(error).__name__}: {error}".removesuffix(": ")
        if unlogged:
            text += f" ({unlogged} more since the last report)"
        if isinstance(error, self._expected):
            logger.warning("%s", text)
        else:
            logger.error("%s", text, exc_info=error)


def _cancel_requests() -> int:
    """How often the current asyncio task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _loop_ended(task: asyncio.Task[None]) -> LoopEnded:
    error = LoopEnded(f"A background loop ended: {task.get_coro()!r}.")
    if not task.cancelled():
        error.__cause__ = task.exception()
    return error
