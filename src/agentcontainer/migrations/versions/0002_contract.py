"""The rest of the public contract: idempotency, repositories, budgets, POST uploads, unique agent names."""

from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = """
CREATE TABLE idempotency_keys (
    account_id text NOT NULL REFERENCES accounts,
    key text NOT NULL,
    fingerprint text NOT NULL,        -- keyed, of method, path and body
    status int NOT NULL,
    response bytea NOT NULL,          -- sealed: it may hold an API key or a signed URL
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

DROP INDEX ledger_entries_account;
CREATE UNIQUE INDEX ledger_entries_account ON ledger_entries (account_id, position);

CREATE UNIQUE INDEX agents_name ON agents (account_id, name) WHERE archived_at IS NULL;
CREATE INDEX agent_versions_references ON agent_versions USING gin (reference_file_ids);

ALTER TABLE uploads ADD COLUMN method text NOT NULL DEFAULT 'PUT' CHECK (method IN ('PUT', 'POST')),
    ADD COLUMN storage_id text;
CREATE INDEX uploads_abandoned ON uploads (expires_at) WHERE file_id IS NULL;
CREATE INDEX uploads_open ON uploads (account_id) WHERE file_id IS NULL;
CREATE INDEX files_blob ON files (blob_key);

-- One row; the object store bears the same mark.
CREATE TABLE installation (id text NOT NULL);
INSERT INTO installation VALUES (gen_random_uuid());

ALTER TABLE tasks ADD COLUMN input_repositories jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN title_source text NOT NULL DEFAULT 'instructions' CHECK (title_source IN ('instructions', 'model')),
    ADD COLUMN model_cost_micro_usd bigint NOT NULL DEFAULT 0,  -- what its model requests cost by the price list
    ADD COLUMN unreported_tokens bigint NOT NULL DEFAULT 0;     -- at most, of answers whose usage never came
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
