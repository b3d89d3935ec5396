"""Deletion of tasks: which are deleted, what refers to them, and which blobs have no row."""

from alembic import op

revision = "0009"
down_revision = "0008"
oldest_code = "0008"

CHANGES = """
-- A task with a deleted_at is invisible; its rows are being removed.
ALTER TABLE tasks ADD COLUMN deleted_at timestamptz;
CREATE INDEX tasks_deleted ON tasks (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX tasks_restored_from ON tasks (checkpoint_id) WHERE checkpoint_id IS NOT NULL;
-- The task that the response describes, which is deleted with it.
ALTER TABLE idempotency_keys ADD COLUMN task_id text;
CREATE INDEX idempotency_keys_task ON idempotency_keys (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX uploads_file ON uploads (file_id) WHERE file_id IS NOT NULL;
-- Blobs that no row names, because they are being written or their row is gone. They are deleted at due_at.
CREATE TABLE unowned_blobs (
    key text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX unowned_blobs_due ON unowned_blobs (due_at);
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
