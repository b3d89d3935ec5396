"""Settles deliveries: what an attempt means for its delivery and endpoint, and when an endpoint is disabled."""

from datetime import timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import PLATFORM
from agentcontainer.domain.deletion import batches
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.webhooks import queue, store
from agentcontainer.domain.webhooks.model import (
    FAILING_DAYS,
    Answered,
    Claimed,
    DisabledReason,
    Outcome,
    pause_after,
)
from agentcontainer.domain.webhooks.queue import LockedEndpoint


async def settle(pool: Pool, claimed: Claimed, answered: Answered) -> Outcome | None:
    """Record an attempt and what follows from it. It may be repeated: None if it was recorded before."""
    endpoint_id = claimed.delivery.endpoint_id
    async with db.transaction(pool) as connection:
        endpoint = await queue.lock_endpoint(connection, endpoint_id)
        if endpoint is None or not await queue.insert_attempt(connection, claimed, answered):
            return None
        await queue.set_health(connection, endpoint_id, answered)
        outcome = await _set_outcome(connection, claimed, answered)
        reason = _reason_to_disable(endpoint, answered)
        if reason is not None:
            await _disable(connection, endpoint, reason)
        else:
            await queue.schedule(connection, [endpoint_id])
    if reason is not None:
        await fail_pending(pool, endpoint_id)
    return outcome


async def _set_outcome(connection: Connection, claimed: Claimed, answered: Answered) -> Outcome:
    if answered.is_success:
        await queue.set_delivered(connection, claimed)
        return "delivered"
    pause = None if answered.is_gone else pause_after(claimed.tries + 1, answered.retry_after)
    await queue.set_failed(connection, claimed, pause)
    return "failed" if pause is None else "retried"


def _reason_to_disable(endpoint: LockedEndpoint, answered: Answered) -> DisabledReason | None:
    if answered.is_success or not endpoint.is_active:
        return None
    if answered.is_gone:
        return "gone"
    failing_for = endpoint.failing_for
    return "failing" if failing_for is not None and failing_for > timedelta(days=FAILING_DAYS) else None


async def disable_full(pool: Pool) -> None:
    """Disable the endpoints that have too many pending deliveries."""
    for account_id, endpoint_id in await queue.find_full(pool):
        async with db.transaction(pool) as connection:
            endpoint = await queue.lock_endpoint(connection, endpoint_id)
            if endpoint is None or not endpoint.is_active or endpoint.account_id != account_id:
                continue
            await _disable(connection, endpoint, "backlog")
        await fail_pending(pool, endpoint_id)


async def _disable(connection: Connection, endpoint: LockedEndpoint, reason: DisabledReason) -> None:
    """Disable an endpoint, and say so in the account's feed and audit log."""
    disabled = await store.disable(connection, endpoint.id, reason)
    await audit.record(connection, PLATFORM, "webhook.disabled", endpoint.id, account_id=endpoint.account_id)
    data = {"webhookId": endpoint.id, "webhookUrl": disabled.url, "disabledReason": reason}
    if endpoint.task_id is not None:
        data["taskId"] = endpoint.task_id
    await feed.append(connection, endpoint.account_id, "webhook.disabled", data, task_id=endpoint.task_id)


async def fail_pending(pool: Pool, endpoint_id: str) -> None:
    """Make all pending deliveries of a disabled endpoint failed, in batches."""
    await batches.repeat(pool, lambda connection, limit: queue.fail_pending(connection, endpoint_id, limit))
    await queue.schedule_one(pool, endpoint_id)


async def clean_up(pool: Pool) -> None:
    """Finish what a process that died has left of disabled and deleted endpoints, and disable those that are full."""
    for endpoint_id, is_deleted in await queue.leftovers(pool):
        if is_deleted:
            await _remove(pool, endpoint_id)
        else:
            await fail_pending(pool, endpoint_id)
    await disable_full(pool)


async def _remove(pool: Pool, endpoint_id: str) -> None:
    await batches.repeat(
        pool, lambda connection, limit: queue.remove_deliveries(connection, endpoint_id, limit)
    )
    await queue.remove_endpoint(pool, endpoint_id)
