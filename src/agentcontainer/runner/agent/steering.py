"""Fetches steering messages as they arrive, and passes them to an agent that works alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.conversations import store as conversations
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.ending import ClaimLost


class Steering:
    """The steering messages of one attempt."""

    def __init__(self, pool: Pool, claim: Claim) -> None:
        self._pool = pool
        self._claim = claim
        self._news = asyncio.Event()
        self._sent_ids: set[str] = set()

    def look(self) -> None:
        """Let `run` fetch messages now, because one may have arrived."""
        self._news.set()

    async def start_over(self) -> None:
        """Queue again the messages that were delivered after the checkpoint from which this attempt starts."""
        await db.retry_while_unavailable(lambda: conversations.requeue_steering(self._pool, self._claim))
        self.look()

    async def take_all(self) -> list[str]:
        """Record all queued messages as delivered; returns their contents.

        Raises:
            ClaimLost: the claim is lost.
        """
        queued = await db.retry_while_unavailable(
            lambda: conversations.queued_steering(self._pool, self._claim.task_id)
        )
        for message_id, _ in queued:
            self._sent_ids.add(message_id)
            await self.delivered(message_id)
        return [content for _, content in queued]

    async def run(self, send: Callable[[str, str], Awaitable[None]]) -> NoReturn:
        """Call `send(id, content)` once for each message, in order, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            queued = await db.retry_while_unavailable(
                lambda: conversations.queued_steering(self._pool, self._claim.task_id)
            )
            for message_id, content in queued:
                if message_id not in self._sent_ids:
                    self._sent_ids.add(message_id)
                    await send(message_id, content)

    async def delivered(self, message_id: str) -> None:
        """Record that the model got the message.

        Raises:
            ClaimLost: the claim is lost.
        """
        if not await db.retry_while_unavailable(
            lambda: turns.deliver_steering(self._pool, self._claim, message_id)
        ):
            raise ClaimLost
