"""The bytes that an account stores, as a counter that triggers keep equal to the sum of its files and open uploads."""

from alembic import op

revision = "0015"
down_revision = "0014"
oldest_code = "0011"

# Triggers, so that every writer counts, also one of an older version during an upgrade. The counter has a row of its
# own, so that uploads do not wait for dispatches, which lock the account's row. Accounts in order, against deadlocks.
FUNCTION = """
CREATE FUNCTION count_used_bytes() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO account_storage AS s (account_id, used_bytes)
        SELECT account_id, sum({amount}) FROM new_rows GROUP BY account_id HAVING sum({amount}) <> 0 ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE SET used_bytes = s.used_bytes + excluded.used_bytes;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO account_storage AS s (account_id, used_bytes)
        SELECT account_id, -sum({amount}) FROM old_rows
        GROUP BY account_id HAVING sum({amount}) <> 0 ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE SET used_bytes = s.used_bytes + excluded.used_bytes;
    ELSE
        INSERT INTO account_storage AS s (account_id, used_bytes)
        SELECT account_id, sum(amount) FROM (
            SELECT account_id, {amount} AS amount FROM new_rows
            UNION ALL SELECT account_id, -({amount}) FROM old_rows
        ) AS change GROUP BY account_id HAVING sum(amount) <> 0 ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE SET used_bytes = s.used_bytes + excluded.used_bytes;
    END IF;
    RETURN NULL;
END $body$
"""
AMOUNTS = {
    "files": "CASE WHEN deleted_at IS NULL THEN size_bytes ELSE 0 END",
    "uploads": "CASE WHEN file_id IS NULL THEN coalesce(received_bytes, size_bytes, 0) ELSE 0 END",
}
TRIGGER = """
CREATE TRIGGER {table}_count_{event} AFTER {event} ON {table} REFERENCING {rows}
    FOR EACH STATEMENT EXECUTE FUNCTION count_used_bytes_of_{table}()
"""
ROWS = {
    "insert": "NEW TABLE AS new_rows",
    "update": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "OLD TABLE AS old_rows",
}
# The triggers, made first, lock both tables until the migration is committed, so that no change is missed.
COUNT = """
INSERT INTO account_storage (account_id, used_bytes) SELECT account_id, sum(amount) FROM (
    SELECT account_id, {files} AS amount FROM files UNION ALL SELECT account_id, {uploads} FROM uploads
) AS stored GROUP BY account_id
"""


def upgrade() -> None:
    op.execute(
        "CREATE TABLE account_storage (account_id text PRIMARY KEY REFERENCES accounts, "
        "used_bytes bigint NOT NULL DEFAULT 0)"
    )
    for table, amount in AMOUNTS.items():
        function = FUNCTION.format(amount=amount).replace(
            "count_used_bytes()", f"count_used_bytes_of_{table}()"
        )
        op.execute(function)
        for event, rows in ROWS.items():
            op.execute(TRIGGER.format(table=table, event=event, rows=rows))
    op.execute(COUNT.format(**AMOUNTS))
