"""The spans of clients from which tasks and messages came."""

from alembic import op

revision = "0032"
down_revision = "0030"
oldest_code = "0011"

CHANGES = (
    "ALTER TABLE tasks ADD COLUMN traceparent text",
    "ALTER TABLE messages ADD COLUMN traceparent text",
)


def upgrade() -> None:
    for change in CHANGES:
        op.execute(change)
