"""What the synchronous client uses of threads; `_async/concurrency.py` is the same with asyncio."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

sleep = time.sleep


def in_parallel(work: Sequence[Callable[[], T]], at_once: int) -> list[T]:
    """The results of all, in order. After the first failure, no further work begins."""
    if len(work) <= 1 or at_once <= 1:
        return [item() for item in work]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # most programs never need it

    pool = ThreadPoolExecutor(min(at_once, len(work)), "agentcontainer")
    try:
        futures = [pool.submit(item) for item in work]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future.done() and not future.cancelled() and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def settle(outcome: object) -> None:
    """Accept what a callback returned.

    Raises:
        TypeError: it must be awaited, which the synchronous client cannot do.
    """
    if hasattr(outcome, "__await__"):
        raise TypeError("A callback of the synchronous client must not be a coroutine function.")
