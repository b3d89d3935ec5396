"""Messages for an agent that works alone: fetched as they come, given to it before its next model request."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.log import ClaimLost

POLL_SECONDS = 5.0  # a lost notification costs that much


class Steering:
    """One attempt's incoming messages."""

    def __init__(self, pool: Pool, claim: Claim) -> None:
        self._pool = pool
        self._claim = claim
        self._news = asyncio.Event()
        self._given: set[str] = set()

    def look(self) -> None:
        """There may be a message."""
        self._news.set()

    async def start_over(self) -> None:
        """This attempt's agent has got no message yet, whatever an earlier one's has."""
        await db.retry_while_unavailable(lambda: turns.requeue_steering(self._pool, self._claim))
        self.look()

    async def take_all(self) -> list[str]:
        """The contents of all messages that wait; they count as delivered."""
        waiting = await db.retry_while_unavailable(
            lambda: turns.queued_steering(self._pool, self._claim.task_id)
        )
        for message_id, _ in waiting:
            self._given.add(message_id)
            await self.delivered(message_id)
        return [content for _, content in waiting]

    async def run(self, give: Callable[[str, str], Awaitable[None]]) -> NoReturn:
        """Give each message (id, content) to the agent, in order, until cancelled."""
        while True:
            # Not `wait_for`: Python 3.11's forgets that it was cancelled when there is news in the same moment.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            self._news.clear()
            waiting = await db.retry_while_unavailable(
                lambda: turns.queued_steering(self._pool, self._claim.task_id)
            )
            for message_id, content in waiting:
                if message_id not in self._given:
                    self._given.add(message_id)
                    await give(message_id, content)

    async def delivered(self, message_id: str) -> None:
        """The model gets the message.

        Raises:
            ClaimLost: the fence moved.
        """
        if not await db.retry_while_unavailable(
            lambda: turns.deliver_steering(self._pool, self._claim, message_id)
        ):
            raise ClaimLost
