"""The part of the settings that says how long data is kept."""

from typing import Annotated

from pydantic import Field

from agentcontainer.database_settings import DatabaseSettings

Days = Annotated[int, Field(ge=0, le=36_500)]


class RetentionSettings(DatabaseSettings):
    """How long each kind of data is kept, in days."""

    retention_events_days: Days = Field(
        0, description="How long the events of a task are kept after its end. 0: for ever."
    )
    retention_tasks_days: Days = Field(
        0,
        description="How long an ended task is kept, with all that belongs to it but its ledger entries. 0: for ever.",
    )
    retention_files_days: Days = Field(
        0,
        description="How long uploads and outputs are kept, unless a live task or an agent uses them. 0: for ever.",
    )
    retention_partial_outputs_days: Days = Field(
        0, description="How long partial outputs are kept. 0: for ever."
    )
    retention_feed_days: Days = Field(
        0,
        description="How long entries of the feeds are kept. The oldest are removed first. 0: for ever.",
    )
    retention_idempotency_days: Days = Field(
        1, description="How long the answer to a request with an Idempotency-Key is kept. 0: for ever."
    )
    retention_audit_days: Days = Field(
        0,
        description="How long entries of the audit log are kept. Those of the last 31 days always are. 0: for ever.",
    )
    retention_webhook_deliveries_days: Days = Field(
        30, description="How long deliveries to webhooks are kept, with their attempts. 0: for ever."
    )
    retention_usage_days: Days = Field(
        0, description="How long the sums of `GET /api/v1/usage` are kept. 0: for ever."
    )
