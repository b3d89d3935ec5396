"""Describes the entries of an account's feed as they are sent.

Stored entries are sent without validation, like events.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from agentcontainer.api.event_data import (
    Completion,
    HibernationReason,
    OnReached,
    TaskErrorCode,
    TaskMode,
    TaskStatus,
    WakeKind,
)
from agentcontainer.api.wire import Outgoing, Timestamp, Usd
from agentcontainer.domain.feed.model import EVENT_FIELDS
from agentcontainer.domain.webhooks.model import DisabledReason

FeedEventType = TypeAliasType(
    "FeedEventType", Annotated[str, Field(json_schema_extra={"enum": list(EVENT_FIELDS)})]
)

WebhookDisabledReason = TypeAliasType("WebhookDisabledReason", DisabledReason)


def _without_required(schema: JsonDict) -> None:
    schema.pop("required", None)


class FeedData(Outgoing):
    """A short summary of an event, below 20 kB: the task as it was at the event. Empty once the task is deleted."""

    model_config = ConfigDict(json_schema_extra=_without_required)

    position: Annotated[int, Field(description="The entry's.")]
    task_id: str
    sequence: Annotated[int, Field(description="The event's, in the task's own log.")]
    url: Annotated[
        str | None,
        Field(description="The task's page in the dashboard, as it was then; null: there is none."),
    ]
    agent_id: str
    mode: TaskMode
    status: TaskStatus
    title: str | None
    metadata: Annotated[dict[str, Any], Field(description="As sent at dispatch.")]
    completion: Completion | None
    error_code: TaskErrorCode | None
    cost_usd: Annotated[Usd | None, Field(description="US dollars. Null until the task has ended.")]
    attempt: Annotated[int, Field(description="Of `task.started`.")]
    hibernate_until_at: Annotated[Timestamp, Field(description="Of `task.hibernated`.")]
    hibernation_reason: Annotated[HibernationReason, Field(description="Of `task.hibernated`.")]
    has_wake_link: Annotated[bool, Field(description="Of `task.hibernated`.")]
    kind: Annotated[WakeKind, Field(description="Of `task.woken`.")]
    expires_at: Annotated[Timestamp, Field(description="Of `task.awaiting_input`.")]
    percent: Annotated[int, Field(description="Of `budget.warning`.")]
    used_usd: Annotated[Usd, Field(description="Of `budget.…`: by model requests.")]
    used_tokens: Annotated[int, Field(description="Of `budget.…`.")]
    on_reached: Annotated[OnReached, Field(description="Of `budget.reached`.")]
    turn_number: Annotated[int, Field(description="Of `turn.…`.")]
    attempt_number: Annotated[int, Field(description="Of `turn.…`.")]
    message_id: Annotated[str, Field(description="Of `turn.started` and `turn.completed`.")]
    webhook_id: Annotated[str, Field(description="Of `webhook.disabled`.")]
    webhook_url: Annotated[str, Field(description="Of `webhook.disabled`.")]
    disabled_reason: Annotated[WebhookDisabledReason, Field(description="Of `webhook.disabled`.")]
    balance_usd: Annotated[Usd, Field(description="Of `balance.low`.")]
    low_balance_usd: Annotated[Usd, Field(description="Of `balance.low`: the account's threshold.")]


class _AsFeedData:
    """Describes a field as `FeedData` without validating it."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(FeedData).core_schema)


class WebhookBody(Outgoing):
    """The body of a request to a webhook."""

    type: str
    timestamp: Annotated[Timestamp, Field(description="When it happened.")]
    api_version: str
    data: Annotated[object, _AsFeedData()]


class FeedEntry(Outgoing):
    """An event of the account, in short."""

    position: Annotated[int, Field(description="1, 2, 3 … without gaps.")]
    id: Annotated[str, Field(description="The event's.")]
    type: FeedEventType
    task_id: Annotated[str | None, Field(description="Null for an event that is of no task.")]
    created_at: Timestamp
    data: Annotated[object, _AsFeedData()]
