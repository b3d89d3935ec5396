"""Makes deliveries pending again because a client asks for it."""

from datetime import datetime
from typing import Literal

from agentcontainer.db import Connection
from agentcontainer.domain.webhooks import deliveries, queue, store
from agentcontainer.domain.webhooks.model import MAX_PENDING, MAX_RESENT, Delivery, DeliveryStatus, Resent
from agentcontainer.errors import Conflict, NotFound

WHICH: dict[Literal["failed", "all"], tuple[DeliveryStatus, ...]] = {
    "failed": ("failed",),
    "all": ("failed", "delivered"),
}


async def resend(connection: Connection, account_id: str, endpoint_id: str, delivery_id: str) -> Delivery:
    """Make a delivery pending again.

    Raises:
        NotFound: the endpoint or the delivery does not exist.
        Conflict: the delivery is pending, or the endpoint is disabled.
    """
    await _lock(connection, account_id, endpoint_id)
    if await deliveries.get(connection, endpoint_id, delivery_id) is None:
        raise NotFound(f"Delivery {delivery_id} does not exist.")
    delivery = await deliveries.resend(connection, delivery_id)
    if delivery is None:
        raise Conflict(f"Delivery {delivery_id} is pending, so it is sent without that.")
    await _announce(connection, endpoint_id)
    return delivery


async def resend_since(
    connection: Connection,
    account_id: str,
    endpoint_id: str,
    since: datetime,
    which: Literal["failed", "all"],
) -> Resent:
    """Make the oldest `MAX_RESENT` deliveries of events since then pending again.

    Raises:
        NotFound: the endpoint does not exist.
        Conflict: it is disabled, or has too many pending deliveries.
    """
    await _lock(connection, account_id, endpoint_id)
    pending = await deliveries.count_pending(connection, endpoint_id, MAX_PENDING)
    limit = min(MAX_RESENT, MAX_PENDING - pending)
    if limit <= 0:
        raise Conflict(f"Webhook {endpoint_id} has {MAX_PENDING} pending deliveries. Try again later.")
    count, next_since = await deliveries.resend_since(connection, endpoint_id, since, WHICH[which], limit)
    await _announce(connection, endpoint_id)
    return Resent(count, next_since)


async def _lock(connection: Connection, account_id: str, endpoint_id: str) -> None:
    endpoint = await store.lock(connection, account_id, endpoint_id)
    if endpoint is None:
        raise NotFound(f"Webhook {endpoint_id} does not exist.")
    if endpoint.disabled_at is not None:
        raise Conflict(f"Webhook {endpoint_id} is disabled. Enable it first.")


async def _announce(connection: Connection, endpoint_id: str) -> None:
    await queue.schedule(connection, [endpoint_id])
    await queue.announce(connection)
