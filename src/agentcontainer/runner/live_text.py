"""Sends the pieces of what this runner's agents are saying, for the tasks that somebody follows."""

import asyncio

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import deltas
from agentcontainer.domain.tasks.deltas import Delta
from agentcontainer.domain.tasks.event_data import TurnLabel
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.periodic import repeat

BATCH_SECONDS = 0.03  # between two statements, each with the pieces of all tasks
MAX_QUEUED_CHARACTERS = 1024 * 1024  # while the database does not answer; further pieces are dropped


class LiveText:
    """The followed tasks, as API processes announce them, and the pieces that wait to be sent.

    Pieces may be lost: the event `message.completed` contains the whole text.
    """

    def __init__(self, pool: Pool, follow_seconds: float = deltas.FOLLOW_SECONDS) -> None:
        self._pool = pool
        self._follow_seconds = follow_seconds
        self._followed: dict[str, float] = {}  # task id → until when, by the loop's clock
        self._forget_at = 0.0
        self._queue: list[Delta] = []
        self._queued_characters = 0
        self._has_work = asyncio.Event()
        self._must_ask = False

    def is_followed(self, task_id: str) -> bool:
        """Whether somebody follows the task live."""
        return self._followed.get(task_id, 0.0) > asyncio.get_running_loop().time()

    def on_announcement(self, payload: str) -> None:
        """Remember the tasks of a notification on `FOLLOW_CHANNEL`. Empty: the connection is new, and some may have
        been missed."""
        if not payload:
            self._must_ask = True
            self._has_work.set()
            return
        now = asyncio.get_running_loop().time()
        if now >= self._forget_at:
            self._forget_at = now + self._follow_seconds
            self._followed = {task_id: until for task_id, until in self._followed.items() if until > now}
        self._followed |= dict.fromkeys(payload.split(), now + self._follow_seconds)

    def add(self, claim: Claim, after: int, content: str, turn: TurnLabel | None) -> None:
        """Send a piece of text, together with what comes in the next moment. `after`: the last event before it."""
        if self._queued_characters >= MAX_QUEUED_CHARACTERS:
            return
        for start in range(0, len(content), deltas.MAX_CHARACTERS):
            piece = content[start : start + deltas.MAX_CHARACTERS]
            self._queue.append(Delta(claim, after, piece, turn))
        self._queued_characters += len(content)
        self._has_work.set()

    async def run(self) -> None:
        """Send what is added, until cancelled."""
        await repeat("sending live text", self._send, BATCH_SECONDS, (asyncpg.PostgresError, *db.UNREACHABLE))

    async def _send(self) -> None:
        await self._has_work.wait()
        self._has_work.clear()
        if self._must_ask:
            self._must_ask = False
            await deltas.ask(self._pool)
        pieces, self._queue, self._queued_characters = self._queue, [], 0
        if pieces:
            await deltas.send(self._pool, pieces)
