"""Which schemas the version of each API process knows."""

from alembic import op

revision = "0024"
down_revision = "0023"
oldest_code = "0011"


def upgrade() -> None:
    op.execute("ALTER TABLE api_processes ADD COLUMN newest_schema text")
