"""Conversations: messages, turns, checkpoints, and when an idle conversation expires."""

from alembic import op

revision = "0003"
down_revision = "0002"

CHANGES = """
CREATE TABLE messages (
    id text PRIMARY KEY,
    task_id text NOT NULL REFERENCES tasks,
    sequence bigint NOT NULL,            -- of its message.created event
    turn_number int NOT NULL,            -- a user's message opens this turn, the assistant's ends it
    attempt_number int NOT NULL DEFAULT 1,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    status text NOT NULL CHECK (status IN ('queued', 'delivered', 'created')),
    content text NOT NULL,
    is_steering boolean NOT NULL DEFAULT false,  -- for a running autonomous task: opens no turn
    is_handoff boolean NOT NULL DEFAULT false,   -- from its turn on the agent works alone
    overrides jsonb,                     -- of the task from this turn on; NULL: unchanged
    execution jsonb,
    provider_key_ciphertext bytea,       -- moved to the task when the turn begins
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cost_micro_usd bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (task_id, sequence)
);
CREATE UNIQUE INDEX messages_turn ON messages (task_id, turn_number, role) WHERE NOT is_steering;
CREATE TABLE message_files (
    message_id text NOT NULL REFERENCES messages,
    file_id text NOT NULL REFERENCES files,
    position int NOT NULL,
    PRIMARY KEY (message_id, position)
);
CREATE INDEX message_files_file ON message_files (file_id);
CREATE TABLE checkpoints (
    id text PRIMARY KEY,
    task_id text NOT NULL REFERENCES tasks,
    blob_key text NOT NULL,
    size_bytes bigint,                   -- NULL: being written; the row is there before the blob
    sha256 text,
    unpacked_bytes bigint,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX checkpoints_task ON checkpoints (task_id);
ALTER TABLE tasks ADD COLUMN last_turn_number int NOT NULL DEFAULT 0,  -- of the last message sent
    ADD COLUMN turn_attempt int NOT NULL DEFAULT 0,
    ADD COLUMN handed_off_at timestamptz,
    ADD COLUMN expires_at timestamptz,   -- a conversation that waits for input: until then
    ADD COLUMN checkpoint_id text REFERENCES checkpoints;
CREATE INDEX tasks_expiring ON tasks (expires_at) WHERE status = 'awaiting_input';
CREATE INDEX events_tools ON events (task_id, sequence) WHERE type IN ('tool.started', 'tool.completed');
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
