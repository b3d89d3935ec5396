"""Which runner ran an ended task, and when the partial outputs of a task may be stored."""

from alembic import op

revision = "0019"
down_revision = "0018"
oldest_code = "0011"

CHANGES = """
ALTER TABLE tasks ADD COLUMN last_runner_id text,     -- of the task's last container, when it has none any more
    ADD COLUMN partial_outputs_due_at timestamptz  -- a runner that stores them has them until then; NULL: nobody tried
"""


def upgrade() -> None:
    op.execute(CHANGES)
