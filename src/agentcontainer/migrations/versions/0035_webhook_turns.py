"""An index of the endpoints with pending deliveries by account: deliveries are sent account by account in turn."""

from alembic import op

revision = "0035"
down_revision = "0033"
oldest_code = "0011"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX webhook_endpoints_turns ON webhook_endpoints (lane, account_id, due_at) "
        "WHERE due_at IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL"
    )
