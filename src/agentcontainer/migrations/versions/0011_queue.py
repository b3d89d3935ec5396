"""The queue: pending tasks in the order of their claims, and counters of each account's tasks."""

from alembic import op

revision = "0011"
down_revision = "0010"
oldest_code = "0011"  # earlier versions need PgQueuer's tables

TABLES = """
ALTER TABLE tasks ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -10 AND 10),
    ADD COLUMN not_before timestamptz,  -- a pending task may be claimed from then on; NULL: now
    ADD COLUMN pending_since timestamptz NOT NULL DEFAULT now();
UPDATE tasks SET pending_since = updated_at WHERE status = 'pending';
-- The order of the claims of one account: see domain/tasks/queue.py.
CREATE INDEX tasks_queue ON tasks (account_id, (coalesce(execution->>'runtimeRegion', 'any')), (-priority),
    (mode = 'autonomous' AND attempt = 0), pending_since, id) WHERE status = 'pending' AND not_before IS NULL;
CREATE INDEX tasks_delayed ON tasks (not_before) WHERE status = 'pending' AND not_before IS NOT NULL;
-- What the queue knows of an account. Triggers on tasks keep the counters.
CREATE TABLE account_queues (
    account_id text PRIMARY KEY REFERENCES accounts,
    running int NOT NULL DEFAULT 0,
    queued int NOT NULL DEFAULT 0,      -- pending tasks
    ready_any int NOT NULL DEFAULT 0,   -- pending tasks that a runner may claim now, by region
    ready_eu int NOT NULL DEFAULT 0,
    max_running int CHECK (max_running >= 0),  -- NULL: no limit
    max_queued int CHECK (max_queued >= 0),
    served_at timestamptz NOT NULL DEFAULT '-infinity',  -- the last claim
    -- Whether a runner of the region has a task to claim. The indexes are on these, so that counting up and down
    -- changes no index.
    is_due_any boolean NOT NULL GENERATED ALWAYS AS
        (ready_any > 0 AND running < coalesce(max_running, 2147483647)) STORED,
    is_due_eu boolean NOT NULL GENERATED ALWAYS AS
        (ready_any + ready_eu > 0 AND running < coalesce(max_running, 2147483647)) STORED
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX account_queues_any ON account_queues (running, served_at) WHERE is_due_any;
CREATE INDEX account_queues_eu ON account_queues (running, served_at) WHERE is_due_eu;
INSERT INTO account_queues (account_id, running, queued, ready_any, ready_eu)
SELECT account_id, count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'pending'),
    count(*) FILTER (WHERE status = 'pending' AND coalesce(execution->>'runtimeRegion', 'any') = 'any'),
    count(*) FILTER (WHERE status = 'pending' AND execution->>'runtimeRegion' = 'eu')
FROM tasks WHERE status IN ('pending', 'running') GROUP BY account_id;
"""
COUNT = """
CREATE FUNCTION count_in_queue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_ready_in text;  -- the task's region, if a runner may claim it
    is_ready_in text;
    more_running int := 0;
    more_queued int := 0;
    has_room_again boolean;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        more_running := more_running - (OLD.status = 'running')::int;
        more_queued := more_queued - (OLD.status = 'pending')::int;
        was_ready_in := CASE WHEN OLD.status = 'pending' AND OLD.not_before IS NULL
            THEN coalesce(OLD.execution->>'runtimeRegion', 'any') END;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        more_running := more_running + (NEW.status = 'running')::int;
        more_queued := more_queued + (NEW.status = 'pending')::int;
        is_ready_in := CASE WHEN NEW.status = 'pending' AND NEW.not_before IS NULL
            THEN coalesce(NEW.execution->>'runtimeRegion', 'any') END;
    END IF;
    INSERT INTO account_queues AS queue (account_id, running, queued, ready_any, ready_eu)
    VALUES (
        CASE WHEN TG_OP = 'DELETE' THEN OLD.account_id ELSE NEW.account_id END, more_running, more_queued,
        (is_ready_in IS NOT DISTINCT FROM 'any')::int - (was_ready_in IS NOT DISTINCT FROM 'any')::int,
        (is_ready_in IS NOT DISTINCT FROM 'eu')::int - (was_ready_in IS NOT DISTINCT FROM 'eu')::int
    ) ON CONFLICT (account_id) DO UPDATE SET
        running = queue.running + excluded.running, queued = queue.queued + excluded.queued,
        ready_any = queue.ready_any + excluded.ready_any, ready_eu = queue.ready_eu + excluded.ready_eu,
        served_at = CASE WHEN excluded.running > 0 THEN clock_timestamp() ELSE queue.served_at END
    RETURNING more_running < 0 AND running = max_running - 1 AND ready_any + ready_eu > 0 INTO has_room_again;
    IF is_ready_in IS NOT NULL AND was_ready_in IS DISTINCT FROM is_ready_in THEN
        PERFORM pg_notify('agentcontainer_queue', is_ready_in);
    ELSIF has_room_again THEN
        PERFORM pg_notify('agentcontainer_queue', 'any');
    END IF;
    RETURN NULL;
END $$
"""
# Deferred: the account's row is locked only while the server commits, never while a client thinks.
TRIGGERS = """
CREATE CONSTRAINT TRIGGER count_inserted AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status IN ('pending', 'running')) EXECUTE FUNCTION count_in_queue();
CREATE CONSTRAINT TRIGGER count_updated AFTER UPDATE OF status, not_before, execution ON tasks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.status, OLD.not_before, OLD.execution->>'runtimeRegion')
        IS DISTINCT FROM (NEW.status, NEW.not_before, NEW.execution->>'runtimeRegion')
        AND (OLD.status IN ('pending', 'running') OR NEW.status IN ('pending', 'running')))
    EXECUTE FUNCTION count_in_queue();
CREATE CONSTRAINT TRIGGER count_deleted AFTER DELETE ON tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status IN ('pending', 'running')) EXECUTE FUNCTION count_in_queue();
"""
DROP_PGQUEUER = """
DROP TABLE IF EXISTS pgqueuer, pgqueuer_log, pgqueuer_schedules, pgqueuer_statistics CASCADE;
DROP FUNCTION IF EXISTS fn_pgqueuer_changed CASCADE;
DROP TYPE IF EXISTS pgqueuer_status, pgqueuer_statistics_status CASCADE;
"""


def upgrade() -> None:
    for script in (TABLES, COUNT, TRIGGERS, DROP_PGQUEUER):
        statements = [script] if script is COUNT else script.split(";\n")
        for statement in statements:
            if statement.strip():
                op.execute(statement)
