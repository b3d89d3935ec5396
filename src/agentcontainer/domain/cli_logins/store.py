"""SQL on logins of command lines."""

from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.cli_logins.model import LIFE, MAX_OPEN, CliLogin, NewCliLogin

_INSERT = """
INSERT INTO cli_logins (id, device_hash, key_hash, last4, phrase, hostname, address, expires_at)
SELECT $1::text, $2::bytea, $3::bytea, $4::text, $5::text, $6::text, $7::text, now() + $8::interval
WHERE (SELECT count(*) FROM (SELECT FROM cli_logins WHERE expires_at > now() LIMIT $9) AS open) < $9
RETURNING *
"""
_GET = "SELECT * FROM cli_logins WHERE id = $1 AND expires_at > now()"
_DECIDE = """
UPDATE cli_logins SET status = $2, account_id = $3, key_id = $4 WHERE id = $1 AND status = 'pending' RETURNING *
"""
_EXPIRED = """
DELETE FROM cli_logins WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM cli_logins WHERE expires_at < now() ORDER BY expires_at LIMIT $1))
"""


async def insert(pool: Pool, login: NewCliLogin) -> CliLogin | None:
    """Insert a login. None: too many are open."""
    row = await pool.fetchrow(
        _INSERT, login.id, login.device_hash, login.key_hash, login.last4, login.phrase, login.hostname,
        login.address, LIFE, MAX_OPEN,
    )  # fmt: skip
    return _login(row) if row else None


async def get(connection: Connection | Pool, login_id: str) -> CliLogin | None:
    """A login that has not expired. None: there is none."""
    row = await connection.fetchrow(_GET, login_id)
    return _login(row) if row else None


async def lock(connection: Connection, login_id: str) -> tuple[CliLogin, bytes, str] | None:
    """As `get`, locked until the transaction ends, with the hash and the last characters of its key."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", login_id)
    return (_login(row), row["key_hash"], row["last4"]) if row else None


async def find(pool: Pool, device_hash: bytes) -> CliLogin | None:
    """The login with this device code. None: there is none, or it has expired."""
    row = await pool.fetchrow(
        "SELECT * FROM cli_logins WHERE device_hash = $1 AND expires_at > now()", device_hash
    )
    return _login(row) if row else None


async def decide(
    connection: Connection, login_id: str, status: str, account_id: str, key_id: str | None
) -> CliLogin:
    """Approve or deny a pending login."""
    row = await connection.fetchrow(_DECIDE, login_id, status, account_id, key_id)
    assert row is not None
    return _login(row)


async def delete_expired(connection: Connection, limit: int) -> int:
    """Delete logins that have expired, by an index; returns how many."""
    return int((await connection.execute(_EXPIRED, limit)).split()[-1])


def _login(row: Record) -> CliLogin:
    return CliLogin(**{name: row[name] for name in CliLogin.__dataclass_fields__})
