"""Which task of a region has waited longest, for operators."""

from alembic import op

revision = "0018"
down_revision = "0017"
oldest_code = "0011"

CHANGES = """
CREATE INDEX tasks_waiting ON tasks ((coalesce(execution->>'runtimeRegion', 'any')), pending_since)
    WHERE status = 'pending' AND not_before IS NULL
"""


def upgrade() -> None:
    op.execute(CHANGES)
