"""The audit log, whose rows the database does not let anybody change."""

from alembic import op

revision = "0027"
down_revision = "0026"
oldest_code = "0011"

TABLE = """
-- It names accounts, keys and tasks that may be gone, so it has no foreign keys.
CREATE TABLE audit_log (
    id text PRIMARY KEY,
    account_id text,  -- the account that it concerns; NULL: the installation
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_account_id text,
    actor_kind text NOT NULL CHECK (actor_kind IN ('key', 'session', 'cli', 'link')),
    actor_id text,
    action text NOT NULL,
    target text,
    address text,
    request_id text
);
CREATE INDEX audit_log_account ON audit_log (account_id, id);
CREATE INDEX audit_log_at ON audit_log (at);
"""
# The purge may delete what is old. Nobody may hide what was done lately, whatever retention is set.
REFUSAL = """
CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '30 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is append-only: its rows cannot be changed, nor deleted before they are 30 days old.'
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
TRIGGERS = """
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_log();
CREATE TRIGGER audit_log_is_not_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log();
"""


def upgrade() -> None:
    for statement in (*TABLE.split(";\n"), REFUSAL, *TRIGGERS.split(";\n")):
        if statement.strip():
            op.execute(statement)
