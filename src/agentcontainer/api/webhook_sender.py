"""Sends the deliveries that are due, in every API process at once.

A process that dies loses nothing: what it had claimed is due again when the lease ends. docs/decisions has the reasons.
"""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import timedelta

import asyncpg

from agentcontainer import crash, db
from agentcontainer.api.webhook_lanes import ACCOUNTS_AT_ONCE, BOUNDS, Lane
from agentcontainer.api.webhook_request import WebhookClient
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.webhooks import queue, service
from agentcontainer.domain.webhooks.model import Answered, Claimed
from agentcontainer.domain.webhooks.queue import LEASE
from agentcontainer.domain.webhooks.settling import settle
from agentcontainer.errors import SettingsError
from agentcontainer.periodic import FailureLog, repeat
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics
from agentcontainer.telemetry.tracing import NO_TRACING, Stopwatch, Tracing, WebhookCall

POLL_SECONDS = 5.0  # because notifications may be lost
PAUSE_SECONDS = 0.02  # after a look for work, so that many events make few
RETRY_SECONDS = 0.5
MAX_SETTLING = 3  # connections of the pool, which requests need too
STOP_SECONDS = 2.0  # what is being sent may end in this time when the process stops
FAILURES = (asyncpg.PostgresError, *db.UNREACHABLE)

logger = logging.getLogger(__name__)


class WebhookSender:
    """The sending of one process. `wake` tells it that there are new deliveries."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings, tracing: Tracing = NO_TRACING) -> None:
        self._tracing = tracing
        self._pool = pool
        self._vault = vault
        self._client = WebhookClient(settings)
        self._is_woken = asyncio.Event()
        self._lanes = {number: Lane(number, bounds) for number, bounds in BOUNDS.items()}
        self._settling = asyncio.Semaphore(MAX_SETTLING)
        self._failures = FailureLog("sending a webhook", FAILURES)

    def wake(self, _payload: str = "") -> None:
        self._is_woken.set()

    async def run(self) -> None:
        """Send until cancelled. What is being sent then has `STOP_SECONDS`."""
        try:
            await repeat(
                "sending webhooks", self._look_and_send, PAUSE_SECONDS, FAILURES, retry_seconds=RETRY_SECONDS
            )
        finally:
            await self._stop()

    async def _stop(self) -> None:
        tasks = [task for lane in self._lanes.values() for task in lane.sending]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._client.close()

    async def _look_and_send(self) -> None:
        """Send all that is due and has room, then wait until there may be more."""
        self._is_woken.clear()
        outlook = await queue.look(self._pool)
        if outlook.has_news:
            await queue.admit(self._pool)
            self.wake()
        pause_seconds = POLL_SECONDS
        for number, seconds in outlook.due_seconds.items():
            lane = self._lanes[number]
            began_after = lane.after_account
            if seconds is None or not lane.free_endpoints:  # a delivery that ends wakes this loop
                continue
            if seconds > 0:
                pause_seconds = min(pause_seconds, seconds)
            # A turn that does not begin or end with the first account leaves out some.
            elif await self._claim(lane) or lane.after_account or began_after:
                self.wake()
            else:  # another process is claiming from these endpoints, or their accounts have used up their share
                pause_seconds = min(pause_seconds, RETRY_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_seconds):
                await self._is_woken.wait()

    async def _claim(self, lane: Lane) -> int:
        """Claim and begin to send deliveries of the accounts whose turn is next; returns how many."""
        accounts = await queue.waiting_accounts(self._pool, lane.number, lane.after_account, ACCOUNTS_AT_ONCE)
        turns = lane.take_turns(accounts)
        claimed = await queue.claim(self._pool, lane.number, turns) if turns else []
        claimed_at = time.monotonic()
        if claimed:
            crash.reach("webhook_claimed")
        for delivery in claimed:
            task = lane.add(delivery.account_id, self._send(delivery, claimed_at))
            task.add_done_callback(lambda _: self.wake())
        return len(claimed)

    async def _send(self, claimed: Claimed, claimed_at: float) -> None:
        try:
            interval = Stopwatch()
            answered = await self._request(claimed, claimed_at)
            interval.stop()
            crash.reach("webhook_sent")
            async with self._settling:
                outcome = await db.retry_while_unavailable(
                    lambda: settle(self._pool, claimed, answered), LEASE.total_seconds()
                )
        except Exception as error:  # the delivery is due again when its lease ends
            self._failures.add(error)
            return
        if outcome is not None:
            metrics.WEBHOOK_DELIVERIES.labels(outcome).inc()
            metrics.WEBHOOK_SECONDS.observe(answered.duration_ms / 1000)
            delivery = claimed.delivery
            self._tracing.webhook(WebhookCall(
                interval, claimed.account_id, delivery.entry.task_id, delivery.endpoint_id, delivery.id,
                delivery.entry.type, answered.status, outcome,
            ))  # fmt: skip

    async def _request(self, claimed: Claimed, claimed_at: float) -> Answered:
        try:
            secrets = await self._secrets(claimed)
        except SettingsError:
            return Answered(0, None, service.UNREADABLE_SECRET)
        # The database's time: the clock of this host may be wrong.
        now = claimed.started_at + timedelta(seconds=time.monotonic() - claimed_at)
        return await self._client.send(claimed.url, claimed.delivery.entry, secrets, now)

    async def _secrets(self, claimed: Claimed) -> list[str]:
        if claimed.is_callback:
            context = service.callback_context(claimed.account_id)
            if not claimed.sealed_secrets:
                return [(await service.callback_secret(self._pool, self._vault, claimed.account_id))[1]]
        else:
            context = service.secret_context(claimed.delivery.endpoint_id)
        return [self._vault.open(sealed, context) for sealed in claimed.sealed_secrets]
