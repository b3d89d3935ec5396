"""Where agents had their output files, so that equal names can be told apart."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE files ADD COLUMN path text")
