"""What an operator sees: API processes, and the names of runners."""

from alembic import op

revision = "0010"
down_revision = "0009"
oldest_code = "0008"

CHANGES = """
CREATE TABLE api_processes (
    id text PRIMARY KEY,
    host text NOT NULL,
    port int NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE runners ADD COLUMN name text;
CREATE INDEX runners_not_stopped ON runners (region) WHERE stopped_at IS NULL;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
