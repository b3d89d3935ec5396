"""An index of messages in the order in which they are listed."""

from alembic import op

revision = "0030"
down_revision = "0029"
oldest_code = "0011"


def upgrade() -> None:
    op.execute("CREATE INDEX messages_order ON messages (task_id, turn_number, sequence)")
