"""Hibernation while a provider is overloaded: why a task hibernates, and since when its provider has failed."""

from alembic import op

revision = "0005"
down_revision = "0004"

CHANGES = """
ALTER TABLE tasks ADD COLUMN hibernation_reason text CHECK (hibernation_reason IN ('agent', 'provider')),
    ADD COLUMN provider_failures int NOT NULL DEFAULT 0,  -- hibernations of this outage
    ADD COLUMN provider_outage_since timestamptz          -- NULL: the last model request was answered
;
UPDATE tasks SET hibernation_reason = 'agent' WHERE status = 'hibernating';
ALTER TABLE tasks DROP CONSTRAINT tasks_wake_kind_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_wake_kind_check
    CHECK (wake_kind IN ('message', 'external_wake', 'deadline', 'link', 'provider'));
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
