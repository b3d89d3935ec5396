"""The JSON of webhooks, their secrets, their deliveries, and the attempts of a delivery."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field
from typing_extensions import TypeAliasType

from agentcontainer.api.feed_entries import FeedEventType, WebhookBody, WebhookDisabledReason
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import from_iso_time
from agentcontainer.api.wire import Incoming, Line, Outgoing, Timestamp, from_whole_number
from agentcontainer.domain.feed.model import EVENT_FIELDS
from agentcontainer.domain.webhooks import model
from agentcontainer.domain.webhooks.model import ALL_EVENTS, MAX_ANSWER_BYTES, MAX_RESENT
from agentcontainer.domain.webhooks.signing import MAX_SECRET_BYTES, PREFIX, secret_fault
from agentcontainer.sandbox.destinations import MAX_URL_CHARACTERS

DAY_SECONDS = 86_400
MAX_OVERLAP_SECONDS = 30 * DAY_SECONDS

WebhookEventFilter = TypeAliasType(
    "WebhookEventFilter", Annotated[str, Field(json_schema_extra={"enum": [*ALL_EVENTS, *EVENT_FIELDS]})]
)
ResentStatus = TypeAliasType("ResentStatus", Literal["failed", "all"])
WebhookDeliveryStatus = TypeAliasType("WebhookDeliveryStatus", model.DeliveryStatus)


def _check_events(values: list[str]) -> list[str]:
    unknown = [value for value in values if value not in EVENT_FIELDS and value not in ALL_EVENTS]
    if unknown:
        raise ValueError(f"must list types of events in the feed, or *; {unknown[0][:100]} is none")
    return list(ALL_EVENTS) if "*" in values else sorted(set(values))


def _check_secret(value: str) -> str:
    if fault := secret_fault(value):
        raise ValueError(fault)
    return value


WebhookUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_CHARACTERS,
        description="Receives a POST for each event. `https://…`, without user name, password and fragment.",
        json_schema_extra={"pattern": "^https?://[!-~]+$"},
    ),
]
WebhookEvents = Annotated[
    list[WebhookEventFilter],
    Field(
        min_length=1, max_length=100, description="Types of events of the feed; `*`: all, also later ones."
    ),
    AfterValidator(_check_events),
]
OwnSecret = Annotated[
    Annotated[
        str,
        Field(
            max_length=len(PREFIX) + 2 * MAX_SECRET_BYTES,
            json_schema_extra={"writeOnly": True, "format": "password"},
        ),
        AfterValidator(_check_secret),
    ]
    | None,
    Field(
        repr=False,
        description="`whsec_` and the base64 of 24 to 64 random bytes. Without it the platform makes one.",
    ),
]
OverlapSeconds = Annotated[
    Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS), from_whole_number],
    Field(description="How long requests are signed with the previous secret, too."),
]
ShownSecret = Annotated[str, Field(description="`whsec_…`: signs the requests.")]
PreviousUntil = Annotated[
    Timestamp | None, Field(description="Until then requests are signed with the previous secret, too.")
]


class NewWebhook(Incoming):
    """A new webhook."""

    url: WebhookUrl
    events: WebhookEvents = Field(default_factory=lambda: list(ALL_EVENTS))
    description: Line | None = None
    secret: OwnSecret = None


class WebhookChange(Incoming):
    """The changes to a webhook. Fields that are not given keep their values."""

    url: WebhookUrl | None = None
    events: WebhookEvents | None = None
    description: Annotated[Line | None, Field(description="Null removes it.")] = None
    is_enabled: Annotated[
        bool | None,
        Field(description="False: nothing is sent, and what is pending fails. True: begin again."),
    ] = None


class SecretRotation(Incoming):
    """How to replace a secret."""

    overlap_seconds: OverlapSeconds = DAY_SECONDS
    secret: OwnSecret = None


class WebhookStats(Outgoing):
    """The attempts of the last 7 days, at most the latest 10,000."""

    attempts: int
    success_share: Annotated[float | None, Field(description="From 0 to 1; null without attempts.")]
    p95_ms: Annotated[
        int | None,
        Field(description="The duration that 95 of 100 attempts do not exceed; null without attempts."),
    ]


class Webhook(Outgoing):
    """A URL that receives events of the account."""

    id: str
    url: str
    events: list[str]
    description: str | None
    created_at: Timestamp
    disabled_at: Annotated[Timestamp | None, Field(description="Since then it gets no events.")]
    disabled_reason: Annotated[
        WebhookDisabledReason | None,
        Field(
            description="`client`: a client disabled it. `gone`: it answered 410. `failing`: nothing succeeded for 5 "
            "days. `backlog`: more than 100,000 deliveries were pending."
        ),
    ]
    last_success_at: Timestamp | None
    failing_since: Annotated[
        Timestamp | None,
        Field(description="The first failure after the last success; null: the last one succeeded."),
    ]
    previous_secret_until: PreviousUntil
    task_id: Annotated[str | None, Field(description="The task whose `callbackUrl` it is; null in lists.")]
    stats7d: Annotated[WebhookStats | None, Field(alias="stats7d", description="Null in lists.")] = None

    @classmethod
    def of_endpoint(cls, endpoint: model.Endpoint, **values: object) -> Self:
        return cls.of(
            endpoint, **{"previous_secret_until": endpoint.previous_until, "stats7d": None} | values
        )


class WebhookWithSecret(Webhook):
    """A webhook with its secret, which is shown this once."""

    secret: ShownSecret


class WebhookPage(Outgoing):
    """A page of webhooks."""

    data: list[Webhook]
    page_info: PageInfo


class CallbackSecret(Outgoing):
    """The secret that signs requests to `overrides.callbackUrl` of the account's tasks."""

    secret: ShownSecret
    created_at: Timestamp
    previous_secret_until: PreviousUntil


class WebhookTestResult(Outgoing):
    """What the receiver answered to a test event."""

    is_delivered: bool
    event_id: Annotated[str, Field(description="The `webhook-id` of the request.")]
    status: Annotated[int | None, Field(description="HTTP status; null if it did not answer.")]
    answer: Annotated[str, Field(description=f"The first {MAX_ANSWER_BYTES} bytes of its body.")]
    error: Annotated[str | None, Field(description="A sentence that says what is wrong.")]
    duration_ms: int


class WebhookDelivery(Outgoing):
    """One event for one webhook."""

    id: str
    webhook_id: str
    task_id: str | None
    event_id: Annotated[str, Field(description="The `webhook-id` of all its requests.")]
    event_type: FeedEventType
    position: Annotated[int, Field(description="Of the event, in the account's feed.")]
    status: WebhookDeliveryStatus
    attempt_count: int
    next_attempt_at: Annotated[
        Timestamp | None,
        Field(description="Of a pending delivery. While it is sent: when it would be sent again."),
    ]
    created_at: Timestamp
    delivered_at: Timestamp | None

    @classmethod
    def of_delivery(cls, delivery: model.Delivery, **values: object) -> Self:
        entry = delivery.entry
        return cls.of(
            delivery, webhook_id=delivery.endpoint_id, attempt_count=delivery.attempts, task_id=entry.task_id,
            event_id=entry.id, event_type=entry.type, position=entry.position, **values,
        )  # fmt: skip


class WebhookAttempt(Outgoing):
    """One request to a receiver."""

    started_at: Timestamp
    duration_ms: int
    status: Annotated[int | None, Field(description="HTTP status; null if no answer came.")]
    error: Annotated[str | None, Field(description="Why it failed; null if it succeeded.")]
    answer: Annotated[
        str | None, Field(description=f"The first {MAX_ANSWER_BYTES} bytes of the answer; null for viewers.")
    ]


class WebhookDeliveryDetails(WebhookDelivery):
    """One event for one webhook, with the body of its requests and its attempts."""

    body: WebhookBody
    attempts: Annotated[list[WebhookAttempt], Field(description="The latest 100, the oldest first.")]


class WebhookDeliveryPage(Outgoing):
    """A page of deliveries."""

    data: list[WebhookDelivery]
    page_info: PageInfo


class DeliveriesQuery(PageQuery):
    """Which deliveries to list."""

    status: WebhookDeliveryStatus | None = None


class ResendRequest(Incoming):
    """Which deliveries to send again."""

    since: Annotated[datetime, Field(description="Of events since then."), from_iso_time]
    status: Annotated[
        ResentStatus,
        Field(description="`failed`: those that failed. `all`: also those that were delivered."),
    ] = "failed"


class Resent(Outgoing):
    """How many deliveries are pending again."""

    count: Annotated[int, Field(description=f"At most {MAX_RESENT}.")]
    next_since: Annotated[
        Timestamp | None,
        Field(description="There are more: repeat with this `since`. Null: that was all."),
    ]
