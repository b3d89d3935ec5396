"""Which API key dispatched a task, so that what it used can be counted by key later."""

from alembic import op

revision = "0017"
down_revision = "0016"
oldest_code = "0011"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ADD COLUMN api_key_id text")  # NULL: dispatched before
