"""Hibernation: what woke a task, links that wake it, and what an agent heard before a checkpoint."""

from alembic import op

revision = "0004"
down_revision = "0003"

CHANGES = """
ALTER TABLE tasks ADD COLUMN hibernation_number int NOT NULL DEFAULT 0,  -- of the last, or the one that lasts
    ADD COLUMN hibernation_message text,    -- why, in the agent's words
    ADD COLUMN wake_kind text               -- what ended it; NULL: its agent has been told
        CHECK (wake_kind IN ('message', 'external_wake', 'deadline', 'link'));
CREATE INDEX tasks_sleeping ON tasks (hibernate_until_at) WHERE status = 'hibernating';
ALTER TABLE tasks ADD COLUMN remains_at timestamptz  -- partial outputs were looked for; NULL: not yet
;
CREATE INDEX tasks_remains ON tasks (completed_at)
    WHERE remains_at IS NULL AND checkpoint_id IS NOT NULL AND status IN ('failed', 'cancelled', 'expired');
-- Of a turn that may hibernate or be saved in its middle: whether the checkpoint is of it, and the time before it.
ALTER TABLE tasks ADD COLUMN is_mid_turn boolean NOT NULL DEFAULT false,
    ADD COLUMN turn_base_micro_seconds bigint NOT NULL DEFAULT 0;
CREATE INDEX tasks_checkpoint ON tasks (account_id) WHERE checkpoint_id IS NOT NULL;
ALTER TABLE messages ADD COLUMN delivered_at timestamptz;
CREATE TABLE wake_links (
    id text PRIMARY KEY,
    task_id text NOT NULL REFERENCES tasks,
    hibernation_number int NOT NULL,        -- the one that it ends, and no other
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX wake_links_task ON wake_links (task_id);
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
