"""Webhooks: URLs that receive the events of the account, their secrets and deliveries."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agentcontainer_client import models
from agentcontainer_client._calls import Call, body_of, operation, query_of, segment
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport
from agentcontainer_client._webhooks import WebhookEvent, unwrap
from agentcontainer_client._wire import to_iso


@dataclass(frozen=True)
class Webhooks:
    """`client.webhooks`: what receives events, and what was delivered."""

    transport: Transport = field(repr=False)

    def unwrap(
        self, body: bytes | str, headers: Mapping[str, str], secret: str | Sequence[str]
    ) -> WebhookEvent:
        """The event of a request that a webhook received, if it is signed with `secret` and at most 5 minutes old.

        Raises:
            BadSignature: the request is forged, changed or replayed, or the secret is another one.
        """
        return unwrap(body, headers, secret)

    @operation("listWebhooks")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.Webhook]:
        """The webhooks, the newest first."""
        return Pager(
            self.transport, "/webhooks", models.Webhook.from_wire, limit=limit, cursor=cursor, order=order
        )

    @operation("createWebhook")
    def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        description: str | None = None,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.WebhookWithSecret:
        """Send the events of the account to a URL. `events`: types; all if None. Its `secret` is shown this once."""
        body = body_of(url=url, events=events, description=description, secret=secret)
        call = Call(method="POST", path="/webhooks", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.WebhookWithSecret.from_wire)

    @operation("getWebhook", webhookId="webhook")
    def get(self, webhook: str) -> models.Webhook:
        """A webhook by its id, with the statistics of its last 7 days."""
        call = Call(method="GET", path=f"/webhooks/{segment(webhook)}")
        return self.transport.send(call, models.Webhook.from_wire)

    @operation("changeWebhook", webhookId="webhook")
    def update(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
        idempotency_key: str | None = None,
    ) -> models.Webhook:
        """Change a webhook, disable it, or enable it again. An empty `description` removes it."""
        body = body_of(url=url, events=events, description=description or None, is_enabled=is_enabled)
        if description == "":
            body["description"] = None
        path = f"/webhooks/{segment(webhook)}"
        call = Call(method="PATCH", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.Webhook.from_wire)

    @operation("deleteWebhook", webhookId="webhook")
    def delete(self, webhook: str) -> None:
        """Delete a webhook with its deliveries."""
        self.transport.request(Call(method="DELETE", path=f"/webhooks/{segment(webhook)}"))

    @operation("rotateWebhookSecret", webhookId="webhook")
    def rotate_secret(
        self,
        webhook: str,
        *,
        overlap_seconds: int | None = None,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.WebhookWithSecret:
        """Replace the secret. During the overlap, a day by default, requests are signed with both."""
        body = body_of(overlap_seconds=overlap_seconds, secret=secret)
        path = f"/webhooks/{segment(webhook)}/rotate-secret"
        call = Call(method="POST", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.WebhookWithSecret.from_wire)

    @operation("testWebhook", webhookId="webhook")
    def test(self, webhook: str, *, idempotency_key: str | None = None) -> models.WebhookTestResult:
        """Send an event of the type `webhook.test`, and return what the receiver answers."""
        path = f"/webhooks/{segment(webhook)}/test"
        call = Call(method="POST", path=path, body={}, idempotency_key=idempotency_key)
        return self.transport.send(call, models.WebhookTestResult.from_wire)

    @operation("listWebhookDeliveries", webhookId="webhook")
    def deliveries(
        self,
        webhook: str,
        *,
        status: models.WebhookDeliveryStatus | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> Pager[models.WebhookDelivery]:
        """The deliveries of a webhook, the newest first."""
        return self._deliveries(f"/webhooks/{segment(webhook)}/deliveries", status, limit, cursor, order)

    @operation("getWebhookDelivery", webhookId="webhook", deliveryId="delivery")
    def delivery(self, webhook: str, delivery: str) -> models.WebhookDeliveryDetails:
        """A delivery, with its body and attempts."""
        path = f"/webhooks/{segment(webhook)}/deliveries/{segment(delivery)}"
        return self.transport.send(Call(method="GET", path=path), models.WebhookDeliveryDetails.from_wire)

    @operation("resendWebhookDelivery", webhookId="webhook", deliveryId="delivery")
    def resend(
        self, webhook: str, delivery: str, *, idempotency_key: str | None = None
    ) -> models.WebhookDelivery:
        """Send a delivery again."""
        path = f"/webhooks/{segment(webhook)}/deliveries/{segment(delivery)}/resend"
        call = Call(method="POST", path=path, body={}, idempotency_key=idempotency_key)
        return self.transport.send(call, models.WebhookDelivery.from_wire)

    @operation("resendWebhookDeliveries", webhookId="webhook")
    def resend_since(
        self,
        webhook: str,
        since: datetime,
        *,
        status: models.ResentStatus | None = None,
        idempotency_key: str | None = None,
    ) -> models.Resent:
        """Send the deliveries of events since a time again: those that failed, or with `all` also the others.

        At most 10,000 at a time: repeat it with `next_since` until that is None.
        """
        path = f"/webhooks/{segment(webhook)}/resend"
        body = body_of(since=to_iso(since), status=status)
        call = Call(method="POST", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.Resent.from_wire)

    @operation("listCallbackDeliveries", taskId="task")
    def deliveries_of_task(
        self,
        task: str,
        *,
        status: models.WebhookDeliveryStatus | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> Pager[models.WebhookDelivery]:
        """The deliveries to the callback URL of a task, the newest first."""
        return self._deliveries(f"/tasks/{segment(task)}/webhook-deliveries", status, limit, cursor, order)

    @operation("getCallbackSecret")
    def callback_secret(self) -> models.CallbackSecret:
        """The secret that signs requests to callback URLs of tasks."""
        call = Call(method="GET", path="/account/callback-secret")
        return self.transport.send(call, models.CallbackSecret.from_wire)

    @operation("rotateCallbackSecret")
    def rotate_callback_secret(
        self,
        *,
        overlap_seconds: int | None = None,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.CallbackSecret:
        """Replace the secret of callbacks. During the overlap, a day by default, requests are signed with both."""
        body = body_of(overlap_seconds=overlap_seconds, secret=secret)
        call = Call(
            method="POST", path="/account/callback-secret", body=body, idempotency_key=idempotency_key
        )
        return self.transport.send(call, models.CallbackSecret.from_wire)

    def _deliveries(
        self,
        path: str,
        status: models.WebhookDeliveryStatus | None,
        limit: int | None,
        cursor: str | None,
        order: models.Order | None,
    ) -> Pager[models.WebhookDelivery]:
        return Pager(
            self.transport,
            path,
            models.WebhookDelivery.from_wire,
            query=query_of(status=status),
            limit=limit,
            cursor=cursor,
            order=order,
        )
