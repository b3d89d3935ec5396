"""Accounts, keys, ledger, agents, files, tasks, events, runners."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE accounts (
    id text PRIMARY KEY,
    name text NOT NULL,
    email text,
    billing_mode text NOT NULL CHECK (billing_mode IN ('standard', 'unlimited_grant')),
    balance_micro_usd bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    name text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_account ON api_keys (account_id);

CREATE TABLE provider_keys (
    account_id text NOT NULL REFERENCES accounts,
    provider text NOT NULL,
    ciphertext bytea NOT NULL,
    last4 text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, provider)
);

-- Double entry: each row moves amount_micro_usd between the account's balance and one counter-account.
CREATE TABLE ledger_entries (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind IN ('credit', 'hold', 'release', 'charge', 'refund')),
    counter_account text NOT NULL CHECK (counter_account IN ('funding', 'holds', 'revenue')),
    amount_micro_usd bigint NOT NULL,
    balance_after_micro_usd bigint NOT NULL,
    task_id text,
    position bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_entries_account ON ledger_entries (account_id, id);
-- A task has one hold, one release and one charge at most, whoever dies and tries again.
CREATE UNIQUE INDEX ledger_entries_once ON ledger_entries (task_id, kind) WHERE task_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE agents (
    id text PRIMARY KEY,
    account_id text REFERENCES accounts,  -- NULL: a standard agent, readable by all
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    current_version_id text NOT NULL,
    archived_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agents_account ON agents (account_id, id);

CREATE TABLE agent_versions (
    id text PRIMARY KEY,
    agent_id text NOT NULL REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    number int NOT NULL,
    container_image text,
    base_prompt text NOT NULL DEFAULT '',
    defaults jsonb NOT NULL,
    reference_file_ids text[] NOT NULL DEFAULT '{}',
    skills jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, number)
);
ALTER TABLE agents ADD FOREIGN KEY (current_version_id) REFERENCES agent_versions DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE uploads (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    filename text NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint,          -- as declared; NULL: not declared
    received_bytes bigint,      -- as stored; NULL: nothing arrived yet
    sha256 text,
    blob_key text NOT NULL,
    file_id text,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tasks (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    agent_id text NOT NULL REFERENCES agents,
    agent_version_id text NOT NULL REFERENCES agent_versions,
    mode text NOT NULL CHECK (mode IN ('autonomous', 'conversation')),
    status text NOT NULL,
    turn_status text,
    turn_number int NOT NULL DEFAULT 0,
    session_ttl_seconds int,
    hibernate_until_at timestamptz,
    title text,
    instructions text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    overrides jsonb NOT NULL DEFAULT '{}',     -- as sent, without the key
    execution jsonb NOT NULL,                  -- effective: the version's defaults, then the overrides
    skills jsonb NOT NULL DEFAULT '[]',
    provider_key_ciphertext bytea,             -- overrides.providerApiKey; dropped when the task ends
    attempt int NOT NULL DEFAULT 0,            -- the fence: every write of an attempt carries its number
    tries int NOT NULL DEFAULT 0,              -- attempts the platform lost
    runner_id text,
    container_started_at timestamptz,          -- a container is up since; NULL: none
    container_micro_seconds bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    completion text CHECK (completion IN ('complete', 'incomplete')),
    result text,
    error text,
    error_code text,
    hold_micro_usd bigint NOT NULL DEFAULT 0,
    cost_micro_usd bigint NOT NULL DEFAULT 0,
    last_event_sequence bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz
);
CREATE INDEX tasks_account ON tasks (account_id, id);
CREATE INDEX tasks_live ON tasks (status, runner_id)
    WHERE status IN ('pending', 'running', 'awaiting_input', 'hibernating');
CREATE INDEX tasks_metadata ON tasks USING gin (metadata jsonb_path_ops);

CREATE TABLE files (
    id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    filename text NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    blob_key text NOT NULL,
    task_id text REFERENCES tasks,      -- NULL: uploaded; else an output of this task
    output_name text,
    is_partial boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX files_account ON files (account_id, id);
CREATE INDEX files_task ON files (task_id, id) WHERE task_id IS NOT NULL;

CREATE TABLE task_input_files (
    task_id text NOT NULL REFERENCES tasks,
    file_id text NOT NULL REFERENCES files,
    position int NOT NULL,
    PRIMARY KEY (task_id, position)
);
CREATE INDEX task_input_files_file ON task_input_files (file_id);

CREATE TABLE events (
    task_id text NOT NULL REFERENCES tasks,
    sequence bigint NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (task_id, sequence)
);

CREATE TABLE runners (
    id text PRIMARY KEY,
    region text NOT NULL,
    host text NOT NULL,
    capacity int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
);
"""


def upgrade() -> None:
    for statement in _statements(TABLES):
        op.execute(statement)


def _statements(script: str) -> list[str]:
    # The driver takes one statement at a time; none of ours holds a semicolon at a line's end but to close it.
    return [part for part in script.split(";\n") if part.strip()]
