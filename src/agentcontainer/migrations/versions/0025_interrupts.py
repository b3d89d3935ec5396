"""The turn that the user of a conversation wants to stop."""

from alembic import op

revision = "0025"
down_revision = "0024"
oldest_code = "0011"

CHANGES = "ALTER TABLE tasks ADD COLUMN interrupted_turn int"


def upgrade() -> None:
    op.execute(CHANGES)
