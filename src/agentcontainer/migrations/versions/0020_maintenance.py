"""Maintenance of the queue, and batches: runners that are drained, a pause of all claims, and tasks of one dispatch."""

from alembic import op

revision = "0020"
down_revision = "0019"
oldest_code = "0011"

CHANGES = """
-- Since when the operator drains the runner. NULL: it takes work.
ALTER TABLE runners ADD COLUMN draining_at timestamptz;
-- Since when no runner claims. NULL: they do.
ALTER TABLE installation ADD COLUMN paused_at timestamptz;
CREATE TABLE batches (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    agent_id text NOT NULL REFERENCES agents,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX batches_account ON batches (account_id, id);
ALTER TABLE tasks ADD COLUMN batch_id text REFERENCES batches;
CREATE INDEX tasks_batch ON tasks (batch_id, id) WHERE batch_id IS NOT NULL;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
