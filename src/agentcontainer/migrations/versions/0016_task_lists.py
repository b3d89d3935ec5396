"""An index for each filter of the list of tasks, led by the account, in the order of the list."""

from alembic import op

revision = "0016"
down_revision = "0015"
oldest_code = "0011"

CHANGES = """
CREATE INDEX tasks_by_status ON tasks (account_id, status, id);
CREATE INDEX tasks_by_agent ON tasks (account_id, agent_id, id);
CREATE INDEX tasks_by_mode ON tasks (account_id, mode, id);
CREATE INDEX tasks_by_version ON tasks (account_id, agent_version_id, id);
CREATE INDEX tasks_by_error ON tasks (account_id, error_code, id) WHERE error_code IS NOT NULL;
CREATE INDEX tasks_by_completion ON tasks (account_id, completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_title ON tasks USING gin (
    (array_to_tsvector(ARRAY['@' || account_id]) || to_tsvector('simple', coalesce(title, ''))))
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
