"""What accounts used on each day, budgets that pause a task, what is held of the money, and the low balance."""

from alembic import op

revision = "0038"
down_revision = "0037"
oldest_code = "0011"

USAGE = """
ALTER TABLE messages ADD COLUMN cached_input_tokens bigint NOT NULL DEFAULT 0;
-- counted_…: what of the task's use is in `usage` already.
ALTER TABLE tasks ADD COLUMN cached_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_micro_seconds bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_cost_micro_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_model_cost_micro_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_cached_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_output_tokens bigint NOT NULL DEFAULT 0
;
-- Keys of the tasks' metadata by which the use of this account is counted.
ALTER TABLE accounts ADD COLUMN usage_metadata_keys text[] NOT NULL DEFAULT '{}';
-- By UTC day. It names agents, versions and keys that may be gone, so it has no foreign keys but the account's.
CREATE TABLE usage (
    account_id text NOT NULL REFERENCES accounts,
    day date NOT NULL,
    agent_id text NOT NULL,
    agent_version_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    api_key_id text NOT NULL,  -- empty: not known
    metadata jsonb NOT NULL,
    finished int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0,
    cancelled int NOT NULL DEFAULT 0,
    expired int NOT NULL DEFAULT 0,
    container_micro_seconds bigint NOT NULL DEFAULT 0,
    cost_micro_usd bigint NOT NULL DEFAULT 0,
    model_cost_micro_usd bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0
);
-- A digest, because an entry of an index has at most 2,704 bytes.
CREATE UNIQUE INDEX usage_key ON usage
    (account_id, day, agent_version_id, provider, model, api_key_id, md5(metadata::text));
CREATE INDEX usage_day ON usage (day);
"""
CHANGES = """
ALTER TABLE tasks DROP CONSTRAINT tasks_hibernation_reason_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_hibernation_reason_check
    CHECK (hibernation_reason IN ('agent', 'provider', 'budget')) NOT VALID;
ALTER TABLE tasks DROP CONSTRAINT tasks_wake_kind_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_wake_kind_check
    CHECK (wake_kind IN ('message', 'external_wake', 'deadline', 'link', 'provider', 'budget')) NOT VALID;
-- The part of the present budget, in percent, of which an event was written last: 0, 50, 80, or 100 if it is used up.
ALTER TABLE tasks ADD COLUMN budget_reported int NOT NULL DEFAULT 0;
-- What is held for live tasks, and whether the balance was reported as low since credit was added or the threshold
-- was changed last.
ALTER TABLE accounts ADD COLUMN held_micro_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN is_low_reported boolean NOT NULL DEFAULT false
"""
# Triggers, because processes of older versions move money too. `held_micro_usd` follows the ledger, by the statement.
HELD = """
CREATE FUNCTION count_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET held_micro_usd = held_micro_usd - added.amount FROM (
        SELECT account_id, sum(amount_micro_usd) AS amount FROM entries WHERE kind IN ('hold', 'release')
        GROUP BY account_id
    ) AS added WHERE accounts.id = added.account_id;
    RETURN NULL;
END $$
"""
LOW = """
CREATE FUNCTION report_low_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    milliseconds bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF NEW.low_balance_micro_usd IS DISTINCT FROM OLD.low_balance_micro_usd THEN
        NEW.is_low_reported := false;
    END IF;
    IF NEW.is_low_reported OR NEW.low_balance_micro_usd IS NULL
        OR NEW.balance_micro_usd >= NEW.low_balance_micro_usd OR NEW.billing_mode = 'unlimited_grant' THEN
        RETURN NEW;
    END IF;
    INSERT INTO feed_outbox (account_id, task_id, id, type, created_at, data) VALUES (
        NEW.id, NULL, 'evt_' || (
            SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', (milliseconds >> 5 * n & 31)::int + 1, 1), ''
                ORDER BY n DESC) FROM generate_series(0, 9) AS n
        ) || substr(md5(gen_random_uuid()::text), 1, 16), 'balance.low', clock_timestamp(),
        jsonb_build_object('balanceUsd', trim_scale(NEW.balance_micro_usd / 1000000.0),
            'lowBalanceUsd', trim_scale(NEW.low_balance_micro_usd / 1000000.0)));
    PERFORM pg_notify('agentcontainer_feed_outbox', '');
    NEW.is_low_reported := true;
    RETURN NEW;
END $$
"""
TRIGGERS = """
CREATE TRIGGER ledger_entries_held AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS entries FOR EACH STATEMENT EXECUTE FUNCTION count_held();
CREATE TRIGGER accounts_low_balance BEFORE UPDATE ON accounts FOR EACH ROW WHEN (
    NEW.low_balance_micro_usd IS DISTINCT FROM OLD.low_balance_micro_usd
    OR NEW.balance_micro_usd < NEW.low_balance_micro_usd
) EXECUTE FUNCTION report_low_balance();
UPDATE accounts SET held_micro_usd = held.amount FROM (
    SELECT account_id, sum(hold_micro_usd) AS amount FROM tasks
    WHERE status IN ('pending', 'running', 'awaiting_input', 'hibernating') GROUP BY account_id
) AS held WHERE held.account_id = accounts.id AND accounts.held_micro_usd <> held.amount
"""


def upgrade() -> None:
    for statement in (*USAGE.split(";\n"), *CHANGES.split(";\n"), HELD, LOW, *TRIGGERS.split(";\n")):
        if statement.strip():
            op.execute(statement)
