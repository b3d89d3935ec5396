"""Webhook endpoints, their deliveries and attempts, and the secrets that sign callbacks of tasks."""

from alembic import op

revision = "0029"
down_revision = "0027"
oldest_code = "0011"

# Deliveries name their endpoint without a foreign key: the process that numbers the feeds inserts them, and must not
# wait for an endpoint that is being deleted.
CHANGES = """
CREATE TABLE webhook_endpoints (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    task_id text REFERENCES tasks,  -- set: the endpoint is overrides.callbackUrl of this task
    url text NOT NULL,
    events text[] NOT NULL,  -- types of events, or '*' alone
    description text,
    secret bytea,  -- null: the endpoint of a task, which the account's callback secret signs
    previous_secret bytea,
    previous_until timestamptz,  -- until then the previous secret signs, too
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    disabled_reason text,
    deleted_at timestamptz,
    last_success_at timestamptz,
    failing_since timestamptz,  -- the first failure since the last success
    lane smallint NOT NULL DEFAULT 1,  -- 0: the last attempt was quick and succeeded; 1: none was made; 2: neither
    due_at timestamptz  -- when the next of its pending deliveries may be sent; null: none is pending
) WITH (fillfactor = 70)
;
CREATE INDEX webhook_endpoints_account ON webhook_endpoints (account_id, id)
    WHERE task_id IS NULL AND deleted_at IS NULL
;
CREATE UNIQUE INDEX webhook_endpoints_task ON webhook_endpoints (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX webhook_endpoints_due ON webhook_endpoints (lane, due_at)
    WHERE due_at IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL
;
CREATE INDEX webhook_endpoints_leftover ON webhook_endpoints (id)
    WHERE deleted_at IS NOT NULL OR disabled_at IS NOT NULL AND due_at IS NOT NULL
;
CREATE TABLE webhook_deliveries (
    id text PRIMARY KEY,
    endpoint_id text NOT NULL,
    account_id text NOT NULL,
    task_id text,
    event_id text NOT NULL,
    event_type text NOT NULL,
    event_at timestamptz NOT NULL,
    position bigint NOT NULL,  -- of the feed's entry
    data jsonb NOT NULL,  -- empty: the task was deleted
    status text NOT NULL DEFAULT 'pending',
    tries int NOT NULL DEFAULT 0,  -- since it became pending
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),  -- null: it is not pending
    leased_until timestamptz,  -- a process sends it until then
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.02)
;
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_status ON webhook_deliveries (endpoint_id, status, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at, position)
    WHERE status = 'pending'
;
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (endpoint_id, leased_until)
    WHERE leased_until IS NOT NULL
;
CREATE INDEX webhook_deliveries_task ON webhook_deliveries (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);
CREATE TABLE webhook_attempts (
    delivery_id text NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    started_at timestamptz NOT NULL,
    endpoint_id text NOT NULL,
    duration_ms int NOT NULL,
    is_success boolean NOT NULL,
    status int,  -- null: no answer came
    error text,
    answer text NOT NULL,  -- its beginning
    PRIMARY KEY (delivery_id, started_at)
)
;
CREATE INDEX webhook_attempts_endpoint ON webhook_attempts (endpoint_id, started_at);
-- Endpoints with new deliveries. A row lives for milliseconds, so the table is vacuumed by count.
CREATE TABLE webhook_news (endpoint_id text NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
;
ALTER TABLE audit_log DROP CONSTRAINT audit_log_actor_kind_check,
    ADD CONSTRAINT audit_log_actor_kind_check CHECK (actor_kind IN ('key', 'session', 'cli', 'link', 'platform'))
;
CREATE TABLE callback_secrets (
    account_id text PRIMARY KEY REFERENCES accounts,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
