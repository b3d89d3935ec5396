"""Steering messages: fetched as they arrive and given to an agent that works alone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.conversations import store as conversations
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.ending import ClaimLost

POLL_SECONDS = 5.0  # how late a message is whose notification was lost


class Steering:
    """The steering messages of one attempt."""

    def __init__(self, pool: Pool, claim: Claim) -> None:
        self._pool = pool
        self._claim = claim
        self._news = asyncio.Event()
        self._given_ids: set[str] = set()

    def look(self) -> None:
        """There may be a message."""
        self._news.set()

    async def start_over(self) -> None:
        """Queue again what an earlier attempt's agent got: this attempt's agent has no message yet."""
        await db.retry_while_unavailable(lambda: conversations.requeue_steering(self._pool, self._claim))
        self.look()

    async def take_all(self) -> list[str]:
        """The contents of all queued messages, which count as delivered from now on.

        Raises:
            ClaimLost: the claim is lost.
        """
        queued = await db.retry_while_unavailable(
            lambda: conversations.queued_steering(self._pool, self._claim.task_id)
        )
        for message_id, _ in queued:
            self._given_ids.add(message_id)
            await self.delivered(message_id)
        return [content for _, content in queued]

    async def run(self, give: Callable[[str, str], Awaitable[None]]) -> NoReturn:
        """Call `give(id, content)` once for each message, in order, until cancelled."""
        while True:
            # Not `wait_for`: Python 3.11's loses a cancellation that arrives together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            self._news.clear()
            queued = await db.retry_while_unavailable(
                lambda: conversations.queued_steering(self._pool, self._claim.task_id)
            )
            for message_id, content in queued:
                if message_id not in self._given_ids:
                    self._given_ids.add(message_id)
                    await give(message_id, content)

    async def delivered(self, message_id: str) -> None:
        """Record that the model got the message.

        Raises:
            ClaimLost: the claim is lost.
        """
        if not await db.retry_while_unavailable(
            lambda: turns.deliver_steering(self._pool, self._claim, message_id)
        ):
            raise ClaimLost
