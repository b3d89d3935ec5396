"""What all processes of an installation must agree on, and how wrong each runner's clock is."""

from alembic import op

revision = "0012"
down_revision = "0011"
oldest_code = "0011"

CHANGES = """
-- The canary is encrypted with the secret key; NULL: no process has started yet. store_marked_at: since when the
-- object store has the installation's id.
ALTER TABLE installation ADD COLUMN canary bytea, ADD COLUMN store_marked_at timestamptz;
CREATE TABLE installation_settings (
    name text PRIMARY KEY,
    value text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now()
);
-- clock_skew_seconds: the clock of the runner's host minus the database server's. The others say which uids of which
-- kernel its sandboxes use; NULL: none of their own.
ALTER TABLE runners ADD COLUMN clock_skew_seconds double precision,
    ADD COLUMN boot_id text,
    ADD COLUMN first_uid bigint,
    ADD COLUMN uid_lock_folder text
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
