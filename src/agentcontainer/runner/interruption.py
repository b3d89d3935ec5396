"""Stops a turn of a conversation when its user asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from agentcontainer import db
from agentcontainer.domain.conversations import store
from agentcontainer.runner.context import AttemptContext

AGAIN_SECONDS = 1.0  # an abort that reaches Pi before the prompt has no effect


class Interruption:
    """Whether the user wants this turn to stop. `news` is set when that may have changed."""

    def __init__(self, context: AttemptContext, turn_number: int, news: asyncio.Event) -> None:
        self._context = context
        self._turn_number = turn_number
        self._news = news
        self._is_wanted = False

    def is_wanted(self) -> bool:
        """Whether the turn must stop, as far as `watch` knows."""
        return self._is_wanted

    async def watch(self, abort: Callable[[], Awaitable[None]]) -> NoReturn:
        """Once the turn must stop, call `abort` until cancelled."""
        pool, task_id = self._context.services.pool, self._context.claim.task_id
        while not await db.retry_while_unavailable(
            lambda: store.is_interrupted(pool, task_id, self._turn_number)
        ):
            await self._news.wait()
            self._news.clear()
        self._is_wanted = True
        while True:
            await abort()
            await asyncio.sleep(AGAIN_SECONDS)
