"""When an account was exported, deleted, and removed."""

from alembic import op

revision = "0037"
down_revision = "0035"
oldest_code = "0011"

CHANGES = (
    # exported_at: when the last whole export began. removed_at: all is removed that goes with a deleted account.
    "ALTER TABLE accounts ADD COLUMN exported_at timestamptz, ADD COLUMN deleted_at timestamptz,"
    " ADD COLUMN removed_at timestamptz",
    "CREATE INDEX accounts_to_remove ON accounts (deleted_at) WHERE deleted_at IS NOT NULL AND removed_at IS NULL",
)


def upgrade() -> None:
    for change in CHANGES:
        op.execute(change)
