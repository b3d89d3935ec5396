"""An index that finds tasks of one account by their metadata."""

from alembic import op

revision = "0023"
down_revision = "0020"
oldest_code = "0011"

CHANGES = """
CREATE INDEX tasks_account_metadata ON tasks USING gin ((ARRAY[account_id]), metadata jsonb_path_ops);
DROP INDEX tasks_metadata
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
