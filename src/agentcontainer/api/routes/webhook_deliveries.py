"""The routes of deliveries to webhooks and to callback URLs: read, and send again."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import Query

from agentcontainer import db
from agentcontainer.api.http import filtering
from agentcontainer.api.http.access import Agents, Level, access, administers, reads
from agentcontainer.api.http.auth import AccountId, Acting, Caller
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.ids import DeliveryId, TaskId, WebhookId
from agentcontainer.api.schemas.webhooks import (
    CallbackSecret,
    DeliveriesQuery,
    ResendRequest,
    Resent,
    SecretRotation,
    WebhookAttempt,
    WebhookDelivery,
    WebhookDeliveryDetails,
    WebhookDeliveryPage,
)
from agentcontainer.api.webhook_request import body_of
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.webhooks import deliveries, model, resending, service, store
from agentcontainer.domain.webhooks.model import Delivery
from agentcontainer.errors import NotFound

router = authenticated("Webhooks")


@router.get("/webhooks/{webhookId}/deliveries")
@access(Level.READS, Agents.FILTERED)
async def list_webhook_deliveries(
    webhook_id: WebhookId,
    account_id: AccountId,
    caller: Caller,
    services: Provided,
    query: Annotated[DeliveriesQuery, Query()],
) -> WebhookDeliveryPage:
    """List the deliveries of a webhook, by the time of their events."""
    await service.get(services.pool, account_id, webhook_id)
    return await _page(services, webhook_id, query, caller)


@router.get("/webhooks/{webhookId}/deliveries/{deliveryId}")
@access(Level.READS, Agents.FILTERED)
async def get_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, account_id: AccountId, caller: Caller, services: Provided
) -> WebhookDeliveryDetails:
    """Get a delivery, with the body of its requests and its attempts."""
    await service.get(services.pool, account_id, webhook_id)
    delivery = await deliveries.get(services.pool, webhook_id, delivery_id)
    if delivery is None or not caller.sees_agent(str(delivery.entry.data.get("agentId"))):
        raise NotFound(f"Delivery {delivery_id} does not exist.")
    attempts = [
        WebhookAttempt.of(attempt, answer=attempt.answer if caller.is_member else None)
        for attempt in await deliveries.attempts(services.pool, delivery_id)
    ]
    return WebhookDeliveryDetails.of_delivery(delivery, body=body_of(delivery.entry), attempts=attempts)


@router.post("/webhooks/{webhookId}/deliveries/{deliveryId}/resend", responses={409: {}})
@administers
async def resend_webhook_delivery(
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
    account_id: AccountId,
    services: Provided,
    _body: NoFields = NO_FIELDS,
) -> WebhookDelivery:
    """Send a delivery again, with the same `webhook-id`. A failure is tried again like that of a new event.

    409 while it is pending, and if the webhook is disabled.
    """
    async with db.transaction(services.pool) as connection:
        delivery = await resending.resend(connection, account_id, webhook_id, delivery_id)
    return WebhookDelivery.of_delivery(delivery)


@router.post("/webhooks/{webhookId}/resend", responses={409: {}})
@administers
async def resend_webhook_deliveries(
    webhook_id: WebhookId, account_id: AccountId, services: Provided, body: ResendRequest
) -> Resent:
    """Send the deliveries of events since a time again, the oldest first, at most 10,000 at a time.

    409 if the webhook is disabled, or has too many pending deliveries.
    """
    async with db.transaction(services.pool) as connection:
        resent = await resending.resend_since(connection, account_id, webhook_id, body.since, body.status)
    return Resent.of(resent)


@router.get("/tasks/{taskId}/webhook-deliveries")
@reads
async def list_callback_deliveries(
    task_id: TaskId,
    account_id: AccountId,
    caller: Caller,
    services: Provided,
    query: Annotated[DeliveriesQuery, Query()],
) -> WebhookDeliveryPage:
    """List the deliveries to the `callbackUrl` of a task, by the time of their events."""
    await tasks.get(services.pool, account_id, task_id)
    endpoint_id = await store.find_of_task(services.pool, task_id)
    return await _page(services, endpoint_id or "", query, caller)


@router.get("/account/callback-secret")
@administers
async def get_callback_secret(account_id: AccountId, services: Provided) -> CallbackSecret:
    """Get the secret that signs requests to callback URLs of tasks. It is made when it is first needed."""
    stored, secret = await service.callback_secret(services.pool, services.vault, account_id)
    return _shown(stored, secret)


@router.post("/account/callback-secret")
@administers
async def rotate_callback_secret(
    account_id: AccountId, actor: Acting, services: Provided, body: SecretRotation
) -> CallbackSecret:
    """Replace the secret that signs requests to callback URLs of tasks.

    During the overlap each request has two signatures.
    """
    async with db.transaction(services.pool) as connection:
        stored, secret = await service.rotate_callback_secret(
            connection, services.vault, account_id, body.secret, body.overlap_seconds
        )
        await audit.record(connection, actor, "callback_secret.rotated", account_id)
    return _shown(stored, secret)


def _shown(stored: model.CallbackSecret, secret: str) -> CallbackSecret:
    return CallbackSecret.of(stored, secret=secret, previous_secret_until=stored.previous_until)


async def _page(
    services: Services, endpoint_id: str, query: DeliveriesQuery, caller: Principal
) -> WebhookDeliveryPage:
    async def choose(found: Sequence[Delivery]) -> Sequence[Delivery]:
        return [each for each in found if each.entry.agent_id and caller.sees_agent(each.entry.agent_id)]

    read = partial(
        deliveries.list_page, services.pool, endpoint_id, query.status, is_descending=query.order == "desc"
    )
    name = f"webhook-deliveries-{query.status or 'all'}"
    rows, info = await filtering.page(caller, query, name, read, lambda delivery: delivery.id, choose)
    return WebhookDeliveryPage(data=[WebhookDelivery.of_delivery(each) for each in rows], page_info=info)
