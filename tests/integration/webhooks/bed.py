"""Webhooks of accounts, and senders of deliveries, as API processes have them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from agentcontainer import db
from agentcontainer.api.webhook_sender import WebhookSender
from agentcontainer.domain.feed.store import WEBHOOK_CHANNEL
from tests.api_bed import Account, Bed
from tests.webhook_receiver import Receiver

PATH = "/api/v1/webhooks"
TASK_PAGES = "https://agents.example.com/ui/tasks/"
MAKE_DUE = (
    "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'pending' AND endpoint_id = $1",
    "UPDATE webhook_endpoints SET due_at = now() WHERE id = $1",
    f"SELECT pg_notify('{WEBHOOK_CHANNEL}', '') FROM webhook_endpoints WHERE id = $1",
)


@asynccontextmanager
async def sending(bed: Bed, senders: int = 1) -> AsyncGenerator[None]:
    """Send deliveries during the block, as so many API processes would."""
    url = bed.settings.database_url
    assert url is not None
    async with AsyncExitStack() as stack:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(senders):
            pool = await stack.enter_async_context(db.pool(url, max_size=4))
            sender = WebhookSender(pool, bed.vault, bed.settings)
            tasks += [
                asyncio.create_task(sender.run()),
                asyncio.create_task(db.listen(url, {WEBHOOK_CHANNEL: sender.wake})),
            ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def created(account: Account, hooks: Receiver, *events: str) -> dict[str, Any]:
    answer = await account.post(PATH, {"url": hooks.url, "events": list(events) or ["*"]})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def deliveries(account: Account, webhook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = await account.get(f"{PATH}/{webhook['id']}/deliveries", params={"order": "asc"} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def settled(
    account: Account, webhook: dict[str, Any], attempts: int, count: int = 1
) -> list[dict[str, Any]]:
    """The deliveries, once there are so many and each was sent so often."""
    async with asyncio.timeout(10):
        while True:
            listed = await deliveries(account, webhook)
            if len(listed) >= count and all(each["attemptCount"] >= attempts for each in listed):
                return listed
            await asyncio.sleep(0.02)


async def make_due(bed: Bed, webhook: dict[str, Any]) -> None:
    for statement in MAKE_DUE:
        await bed.pool.execute(statement, webhook["id"])


async def entries(account: Account, count: int) -> list[dict[str, Any]]:
    """The account's feed, once it has so many entries."""
    async with asyncio.timeout(10):
        while len(listed := (await account.get("/api/v1/events")).json()["data"]) < count:
            await asyncio.sleep(0.02)
    return listed
