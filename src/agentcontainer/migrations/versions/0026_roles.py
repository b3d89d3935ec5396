"""What an API key may do, operators, suspended accounts, and what keys and accounts used on a day."""

from alembic import op

revision = "0026"
down_revision = "0025"
oldest_code = "0011"

CHANGES = """
-- NULL in agent_ids: all agents; in a limit: no limit. A key that may do less than the whole account has a key_hash
-- that older versions do not find, because they would let it do everything.
ALTER TABLE api_keys
    ADD COLUMN role text NOT NULL DEFAULT 'member' CHECK (role IN ('viewer', 'member')),
    ADD COLUMN agent_ids text[],
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN max_cost_micro_usd_per_day bigint,
    ADD COLUMN max_tasks_per_day int,
    ADD COLUMN max_priority int,
    ADD COLUMN last4 text
;
ALTER TABLE accounts
    ADD COLUMN is_operator boolean NOT NULL DEFAULT false,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN low_balance_micro_usd bigint,
    ADD COLUMN max_cost_micro_usd_per_day bigint,
    ADD COLUMN max_priority int,
    -- While the account is suspended, account_queues.max_running is 0, and this is what it was.
    ADD COLUMN max_running_when_active int
;
-- By UTC day. The owner is an API key or an account.
CREATE TABLE daily_use (
    owner_id text NOT NULL,
    day date NOT NULL,
    tasks int NOT NULL DEFAULT 0,
    cost_micro_usd bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (owner_id, day)
);
CREATE INDEX daily_use_day ON daily_use (day);
-- The key or session that sent the first request. NULL: older ones, of any key of the account.
ALTER TABLE idempotency_keys ADD COLUMN principal_id text;
-- Which key uploaded a file. NULL: older ones.
ALTER TABLE uploads ADD COLUMN api_key_id text;
ALTER TABLE files ADD COLUMN api_key_id text;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
