"""Which versions can use the database, and which version each runner has."""

from alembic import op

revision = "0008"
down_revision = "0007"
oldest_code = "0008"

CHANGES = """
-- The oldest version that can use this schema, by the newest schema that it knows. Each migration writes it.
ALTER TABLE installation ADD COLUMN oldest_code text NOT NULL DEFAULT '0008';
ALTER TABLE runners ADD COLUMN version text,
    ADD COLUMN newest_schema text           -- the newest schema that the runner's version knows
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
