"""SQL on browser sessions and login codes."""

from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.accounts.principal import FULL, Role
from agentcontainer.domain.accounts.store import GRANT_COLUMNS, grant_of
from agentcontainer.domain.sessions.model import (
    CODE_LIFE,
    IDLE,
    MAX_SESSIONS,
    LoginCode,
    NewSession,
    Session,
    SessionOwner,
)

# A session that has ended by itself, or whose key is gone, is no session, although its row may still be there.
_LIVE = """
s.expires_at > now() AND s.last_seen_at > now() - $1::interval AND (
    s.key_id IS NULL OR EXISTS (
        SELECT FROM api_keys k WHERE k.id = s.key_id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())))
"""
_OWNER = f"""
SELECT s.id, s.account_id, s.key_id, s.created_at, s.last_seen_at, s.user_agent, s.role AS session_role,
    s.expires_at AS session_expires_at, a.name AS account_name, a.is_operator,
    a.suspended_at IS NOT NULL AS is_suspended, s.last_seen_at < now() - interval '1 minute' AS is_use_due,
    {", ".join(f"k.{name}" for name in GRANT_COLUMNS)}
FROM sessions s JOIN accounts a ON a.id = s.account_id LEFT JOIN api_keys k ON k.id = s.key_id
WHERE s.token_hash = $2 AND {_LIVE}
"""  # noqa: S608
_INSERT = """
INSERT INTO sessions (id, token_hash, account_id, key_id, role, expires_at, user_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
_PAGE = f"""
SELECT s.* FROM sessions s WHERE s.account_id = $2 AND ($3::text IS NULL OR s.key_id = $3) AND {_LIVE}
    AND ($4::text IS NULL OR CASE WHEN $5 THEN s.id < $4 ELSE s.id > $4 END)
"""  # noqa: S608
_DELETE = """
DELETE FROM sessions WHERE id = $1 AND account_id = $2 AND ($3::text IS NULL OR key_id = $3) RETURNING id
"""
_DELETE_SURPLUS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE account_id = $1 ORDER BY last_seen_at DESC, id DESC OFFSET $2)
"""
_INSERT_CODE = """
INSERT INTO login_codes (code_hash, account_id, key_id, role, session_expires_at, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval) RETURNING expires_at
"""
_CODE = """
SELECT c.account_id, a.name AS account_name, c.key_id, c.role, c.session_expires_at
FROM login_codes c JOIN accounts a ON a.id = c.account_id LEFT JOIN api_keys k ON k.id = c.key_id
WHERE c.code_hash = $1 AND c.expires_at > now() AND a.suspended_at IS NULL
    AND (c.key_id IS NULL OR k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
"""
_USE_CODE = "DELETE FROM login_codes WHERE code_hash = $1 RETURNING true"
_EXPIRED = (
    "DELETE FROM login_codes WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM login_codes WHERE expires_at < now() ORDER BY expires_at LIMIT $1))",
    "DELETE FROM sessions WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM sessions WHERE expires_at < now() ORDER BY expires_at LIMIT $1))",
)
_IDLE = """
DELETE FROM sessions WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM sessions WHERE last_seen_at < now() - $2::interval ORDER BY last_seen_at LIMIT $1))
"""


async def insert(connection: Connection, session: NewSession) -> Session:
    """Insert a session. If the account has too many, those that were idle for longest end."""
    row = await connection.fetchrow(
        _INSERT, session.id, session.token_hash, session.account_id, session.key_id, session.role,
        session.expires_at, session.user_agent,
    )  # fmt: skip
    assert row is not None
    await connection.execute(_DELETE_SURPLUS, session.account_id, MAX_SESSIONS)
    return _session(row)


async def find_owner(connection: Connection | Pool, token_hash: bytes) -> SessionOwner | None:
    """Whose session has this token. None: there is no such session, or it has ended."""
    row = await connection.fetchrow(_OWNER, IDLE, token_hash)
    if row is None:
        return None
    session = Session(
        row["id"], row["account_id"], row["key_id"], row["session_role"], row["created_at"],
        row["last_seen_at"], row["session_expires_at"], row["user_agent"],
    )  # fmt: skip
    grant = FULL if session.key_id is None else grant_of(row)
    return SessionOwner(
        session, row["account_name"], grant, row["is_operator"], row["is_suspended"], row["is_use_due"]
    )


async def end_of(connection: Connection, session_id: str) -> datetime | None:
    """When the session ends at the latest. None: it has ended."""
    return await connection.fetchval("SELECT expires_at FROM sessions WHERE id = $1", session_id)


async def record_use(pool: Pool, session_id: str) -> None:
    await pool.execute("UPDATE sessions SET last_seen_at = now() WHERE id = $1", session_id)


async def list_page(
    pool: Pool, account_id: str, key_id: str | None, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Session]:
    """The account's sessions by id, from `after_id` on. With `key_id`: only those of this key."""
    order = f"id {'DESC' if is_descending else 'ASC'}"
    return await db.fetch_page(
        pool, _PAGE, IDLE, account_id, key_id, after_id, is_descending, order=order, limit=limit, of=_session
    )


async def delete(connection: Connection, account_id: str, session_id: str, key_id: str | None) -> bool:
    """Delete a session of the account; with `key_id`, only one of this key. False: there is no such session."""
    return await connection.fetchval(_DELETE, session_id, account_id, key_id) is not None


async def insert_code(
    connection: Connection, code_hash: bytes, account_id: str, key_id: str | None, role: Role,
    session_expires_at: datetime | None,
) -> datetime:  # fmt: skip
    """Insert a login code; returns when it expires."""
    return await connection.fetchval(
        _INSERT_CODE, code_hash, account_id, key_id, role, session_expires_at, CODE_LIFE
    )


async def find_code(connection: Connection | Pool, code_hash: bytes) -> LoginCode | None:
    """What a code logs in to. None: it is unknown, used or expired, or its key is gone."""
    row = await connection.fetchrow(_CODE, code_hash)
    return LoginCode(**{name: row[name] for name in LoginCode.__dataclass_fields__}) if row else None


async def use_code(connection: Connection, code_hash: bytes) -> bool:
    """Delete a code. False: another request has used it."""
    return bool(await connection.fetchval(_USE_CODE, code_hash))


async def first_account(connection: Connection | Pool) -> str | None:
    """The installation's first account. None: there is none."""
    return await connection.fetchval("SELECT id FROM accounts WHERE deleted_at IS NULL ORDER BY id LIMIT 1")


async def delete_expired(connection: Connection, limit: int) -> int:
    """Delete codes and sessions that have ended, by indexes; returns how many rows."""
    counts = [await connection.execute(statement, limit) for statement in _EXPIRED]
    counts.append(await connection.execute(_IDLE, limit, IDLE + timedelta(minutes=5)))
    return max(int(count.split()[-1]) for count in counts)


def _session(row: Record) -> Session:
    return Session(**{name: row[name] for name in Session.__dataclass_fields__})
