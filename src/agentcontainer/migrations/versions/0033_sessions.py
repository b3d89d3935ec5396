"""Browser sessions, one-time login codes, and logins of command lines that a browser approves."""

from alembic import op

revision = "0033"
down_revision = "0032"
oldest_code = "0011"

CHANGES = """
-- Only hashes of tokens and codes are stored. key_id NULL: a link that the operator made with the command line, for all
-- that the account may do. A session has what its key has now, but never more than the role that it began with.
CREATE TABLE sessions (
    id text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    account_id text NOT NULL REFERENCES accounts ON DELETE CASCADE,
    key_id text REFERENCES api_keys ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('viewer', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id, id);
CREATE INDEX sessions_key ON sessions (key_id);
CREATE INDEX sessions_expires ON sessions (expires_at);
CREATE INDEX sessions_idle ON sessions (last_seen_at);
CREATE TABLE login_codes (
    code_hash bytea PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts ON DELETE CASCADE,
    key_id text REFERENCES api_keys ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('viewer', 'member')),
    session_expires_at timestamptz,  -- the session that made the code: its own ends no later; NULL: no session did
    expires_at timestamptz NOT NULL
);
CREATE INDEX login_codes_account ON login_codes (account_id);
CREATE INDEX login_codes_key ON login_codes (key_id);
CREATE INDEX login_codes_expires ON login_codes (expires_at);
-- The API key that a command line will have follows from its device code, which only it knows: key_hash and last4 are
-- those of that key.
CREATE TABLE cli_logins (
    id text PRIMARY KEY,
    device_hash bytea NOT NULL UNIQUE,
    key_hash bytea NOT NULL,
    last4 text NOT NULL,
    phrase text NOT NULL,
    hostname text NOT NULL,
    address text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'denied')),
    account_id text REFERENCES accounts ON DELETE CASCADE,
    key_id text REFERENCES api_keys ON DELETE CASCADE
);
CREATE INDEX cli_logins_account ON cli_logins (account_id);
CREATE INDEX cli_logins_key ON cli_logins (key_id);
CREATE INDEX cli_logins_expires ON cli_logins (expires_at);
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
