"""The account's feed, the outbox of entries without a position, and a function that shortens events for lists."""

from alembic import op

revision = "0013"
down_revision = "0012"
oldest_code = "0011"

# A row of the outbox is written with its event and deleted within milliseconds, so it is vacuumed by count.
TABLES = (
    """
CREATE TABLE feed_outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in the order of insertion, with gaps
    account_id text NOT NULL,
    task_id text,
    id text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
""",
    """
CREATE TABLE feeds (
    account_id text PRIMARY KEY REFERENCES accounts,
    last_position bigint NOT NULL
) WITH (fillfactor = 50)
""",
    """
CREATE TABLE feed_entries (
    account_id text NOT NULL,
    position bigint NOT NULL,
    task_id text,
    id text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,  -- empty: the task was deleted
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, position)
)
""",
    "CREATE INDEX feed_entries_task ON feed_entries (task_id) WHERE task_id IS NOT NULL",
    """
CREATE FUNCTION shorten_strings(value jsonb, characters int) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF length(value::text) <= characters THEN  -- so it has no long string
        RETURN value;
    END IF;
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN to_jsonb(left(value #>> '{}', characters))
        WHEN 'object' THEN
            (SELECT jsonb_object_agg(key, shorten_strings(content, characters))
             FROM jsonb_each(value) AS f (key, content))
        WHEN 'array' THEN
            (SELECT jsonb_agg(shorten_strings(content, characters) ORDER BY number)
             FROM jsonb_array_elements(value) WITH ORDINALITY AS f (content, number))
        ELSE value
    END;
END $$
""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
