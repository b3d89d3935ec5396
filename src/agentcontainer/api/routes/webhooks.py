"""The routes of webhooks: create, read, change, delete, rotate the secret, test."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from agentcontainer import db
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers
from agentcontainer.api.http.auth import AccountId, Acting
from agentcontainer.api.http.idempotency import repeatable
from agentcontainer.api.http.paging import PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.ids import WebhookId
from agentcontainer.api.schemas.webhooks import (
    NewWebhook,
    SecretRotation,
    Webhook,
    WebhookChange,
    WebhookPage,
    WebhookStats,
    WebhookTestResult,
    WebhookWithSecret,
)
from agentcontainer.api.webhook_request import WebhookClient, webhook_url_fault
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.unset import UNSET
from agentcontainer.domain.webhooks import deliveries, service, settling, store
from agentcontainer.domain.webhooks.model import Answered, Endpoint
from agentcontainer.domain.webhooks.service import Change
from agentcontainer.errors import SettingsError, ValidationError
from agentcontainer.ids import new_id

TEST_EVENT = "webhook.test"

router = authenticated("Webhooks")


@router.get("/webhooks")
@access(Level.READS, Agents.INDEPENDENT)
async def list_webhooks(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> WebhookPage:
    """List the account's webhooks, without callback URLs of tasks."""
    page = await store.list_page(
        services.pool,
        account_id,
        after_id=paging.position("webhooks", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("webhooks", page, lambda endpoint: endpoint.id)
    return WebhookPage(data=[Webhook.of_endpoint(endpoint) for endpoint in page.rows], page_info=info)


@router.post("/webhooks", status_code=201, responses={409: {}})
@administers
async def create_webhook(
    account_id: AccountId, actor: Acting, services: Provided, body: NewWebhook
) -> WebhookWithSecret:
    """Create a webhook, which gets the events of the account's feed from now on.

    The response shows its secret this once. An account can have 20 webhooks.
    """
    _check_url(services, body.url)
    async with db.transaction(services.pool) as connection:
        endpoint, secret = await service.create(
            connection, services.vault, account_id, body.url, body.events, body.description, body.secret
        )
        await audit.record(connection, actor, "webhook.created", endpoint.id)
    return WebhookWithSecret.of_endpoint(endpoint, secret=secret)


@router.get("/webhooks/{webhookId}")
@access(Level.READS, Agents.INDEPENDENT)
async def get_webhook(webhook_id: WebhookId, account_id: AccountId, services: Provided) -> Webhook:
    """Get a webhook, with the statistics of its last 7 days. The id may be that of a task's callback URL."""
    endpoint = await service.get(services.pool, account_id, webhook_id)
    stats = WebhookStats.of(await deliveries.stats(services.pool, webhook_id))
    return Webhook.of_endpoint(endpoint, stats7d=stats)


@router.patch("/webhooks/{webhookId}")
@administers
async def change_webhook(
    webhook_id: WebhookId, account_id: AccountId, actor: Acting, services: Provided, body: WebhookChange
) -> Webhook:
    """Change a webhook, disable it, or enable it again. Events while it is disabled are not sent later."""
    if body.url is not None:
        _check_url(services, body.url)
    change = Change(
        url=UNSET if body.url is None else body.url,
        events=UNSET if body.events is None else body.events,
        description=body.description if "description" in body.model_fields_set else UNSET,
        is_enabled=UNSET if body.is_enabled is None else body.is_enabled,
    )
    async with db.transaction(services.pool) as connection:
        endpoint = await service.update(connection, account_id, webhook_id, change)
        await audit.record(connection, actor, "webhook.changed", webhook_id)
    if body.is_enabled is False:
        await settling.fail_pending(services.pool, webhook_id)
    return Webhook.of_endpoint(endpoint)


@router.delete("/webhooks/{webhookId}", status_code=204, response_class=Response)
@administers
async def delete_webhook(
    webhook_id: WebhookId, account_id: AccountId, actor: Acting, services: Provided
) -> None:
    """Delete a webhook with its deliveries. What is pending is not sent any more."""
    async with db.transaction(services.pool) as connection:
        await service.lock_own(connection, account_id, webhook_id)
        await store.set_deleted(connection, webhook_id)
        await audit.record(connection, actor, "webhook.deleted", webhook_id)


@router.post("/webhooks/{webhookId}/rotate-secret")
@administers
async def rotate_webhook_secret(
    webhook_id: WebhookId, account_id: AccountId, actor: Acting, services: Provided, body: SecretRotation
) -> WebhookWithSecret:
    """Replace the secret of a webhook, and show the new one this once.

    During the overlap each request has two signatures, so that receivers can change the secret at any time.
    """
    async with db.transaction(services.pool) as connection:
        endpoint, secret = await service.rotate(
            connection, services.vault, account_id, webhook_id, body.secret, body.overlap_seconds
        )
        await audit.record(connection, actor, "webhook.secret_rotated", webhook_id)
    return WebhookWithSecret.of_endpoint(endpoint, secret=secret)


@router.post("/webhooks/{webhookId}/test", name="test_webhook", responses={429: {}})
@administers
@repeatable
async def send_test_event(
    webhook_id: WebhookId,
    account_id: AccountId,
    services: Provided,
    _body: NoFields = NO_FIELDS,
) -> WebhookTestResult:
    """Send an event of the type `webhook.test`, which is not in the feed, and return what the receiver answers.

    An account may send 10 tests a minute.
    """
    endpoint = await service.get(services.pool, account_id, webhook_id)
    services.webhook_tests.take(account_id)
    now = await db.now(services.pool)
    event = FeedEntry(0, new_id("evt"), TEST_EVENT, None, now, {"webhookId": webhook_id})
    answered = await _sent(services, endpoint, event, now)
    return WebhookTestResult.of(answered, is_delivered=answered.is_success, event_id=event.id)


async def _sent(services: Services, endpoint: Endpoint, event: FeedEntry, now: datetime) -> Answered:
    try:
        secrets = await service.signing_secrets(services.pool, services.vault, endpoint)
    except SettingsError:
        return Answered(0, None, service.UNREADABLE_SECRET)
    client = WebhookClient(services.settings)
    try:
        return await client.send(endpoint.url, event, secrets, now)
    finally:
        await client.close()


def _check_url(services: Services, url: str) -> None:
    if fault := webhook_url_fault(services.settings, url):
        raise ValidationError.at("url", fault)
