"""Retention: which events of a task were purged, and indexes that find what is old enough to go."""

from alembic import op

revision = "0014"
down_revision = "0013"
oldest_code = "0011"

CHANGES = """
-- Events up to this sequence are gone or are being removed; then events_purged_at says since when.
ALTER TABLE tasks ADD COLUMN events_purged_to bigint NOT NULL DEFAULT 0,
    ADD COLUMN events_purged_at timestamptz
;
CREATE INDEX tasks_completed ON tasks (completed_at, id) WHERE completed_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX tasks_with_events ON tasks (completed_at, id)
    WHERE completed_at IS NOT NULL AND deleted_at IS NULL AND events_purged_at IS NULL
;
CREATE INDEX tasks_skills ON tasks USING gin (skills)
    WHERE status IN ('pending', 'running', 'awaiting_input', 'hibernating') AND skills <> '[]'
;
CREATE INDEX agent_versions_skills ON agent_versions USING gin (skills) WHERE skills <> '[]';
CREATE INDEX files_created ON files (created_at, id) WHERE deleted_at IS NULL AND NOT is_partial;
CREATE INDEX files_partial ON files (created_at, id) WHERE deleted_at IS NULL AND is_partial;
CREATE INDEX uploads_completed ON uploads (expires_at) WHERE file_id IS NOT NULL;
CREATE INDEX runners_living ON runners (heartbeat_at) WHERE stopped_at IS NULL;
CREATE INDEX runners_stopped ON runners (stopped_at) WHERE stopped_at IS NOT NULL;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
