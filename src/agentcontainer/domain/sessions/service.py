"""Logs browsers in and out: by an API key, or by a code that works once.

A session has the rights of its key, read at each request, so that a change of the key holds for its sessions at once.
Tokens and codes are 256 and 128 random bits, of which only hashes are stored.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.keys import hash_of
from agentcontainer.domain.accounts.model import SUSPENDED
from agentcontainer.domain.accounts.principal import FULL, Grant, Principal
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import Actor
from agentcontainer.domain.sessions import store
from agentcontainer.domain.sessions.model import ABSOLUTE, MAX_USER_AGENT, NewSession, Session, SessionOwner
from agentcontainer.errors import Conflict, Forbidden, NotFound, Unauthorized
from agentcontainer.ids import new_id

NO_SESSION = "The browser is not logged in, or its session has ended. Log in again."
BAD_CODE = "The login code is unknown, has been used, or has expired. Make another one."


@dataclass(frozen=True)
class Browser:
    """Where a login comes from. `token`: that of the session which the browser has already, if any."""

    user_agent: str
    address: str | None
    request_id: str | None
    token: str | None = None


async def authenticate(pool: Pool, token: str) -> Principal:
    """Who sends this session token. Records its use at most once a minute.

    Raises:
        Unauthorized: there is no such session, or it has ended.
        Forbidden: its account is suspended.
    """
    owner = await read(pool, token)
    if owner.is_use_due:
        await store.record_use(pool, owner.session.id)
    return principal_of(owner)


async def read(pool: Pool, token: str) -> SessionOwner:
    """The session with this token. Raises as `authenticate` does."""
    owner = await store.find_owner(pool, hash_of(token))
    if owner is None:
        raise Unauthorized(NO_SESSION)
    if owner.is_suspended:
        raise Forbidden(SUSPENDED)
    return owner


def principal_of(owner: SessionOwner) -> Principal:
    """What the session may do now: what its key may, but not more than its own role. Its own end is not a part of that:
    a key that it makes may last as long as one that its key makes."""
    session, grant = owner.session, owner.grant
    role = "viewer" if "viewer" in (session.role, grant.role) else "member"
    return Principal(
        session.account_id,
        "session",
        session.id,
        session.key_id,
        replace(grant, role=role),
        owner.is_operator,
    )


def end_of(owner: SessionOwner) -> datetime:
    """When the session ends at the latest."""
    return min(filter(None, (owner.session.expires_at, owner.grant.expires_at)))


async def log_in_with_key(
    pool: Pool, api_key: str, browser: Browser, *, is_confirmed: bool
) -> tuple[str, Session]:
    """Begin a session with the rights of an API key; returns its token, too.

    Raises:
        Unauthorized: the key is unknown, revoked or expired.
        Forbidden: its account is suspended.
        Conflict: the browser is logged in to another account, and the user has not confirmed the change.
    """
    principal = await accounts.authenticate(pool, api_key)
    async with db.transaction(pool) as connection:
        before = await _before(connection, browser)
        if before is not None and before.session.account_id != principal.account_id and not is_confirmed:
            name = (await accounts.get(connection, principal.account_id)).name
            raise _unconfirmed(before, name)
        return await _begin(
            connection, browser, principal.account_id, principal.key_id, principal.grant, before
        )


async def log_in_with_code(
    pool: Pool, code: str, browser: Browser, *, is_confirmed: bool
) -> tuple[str, Session]:
    """Begin a session with a code, which works once; returns its token, too.

    Without a confirmation, only a code of the account that the browser is logged in to does, or, in a browser without a
    session, one of the installation's first account: a stranger's link must not lead anybody into his account.

    Raises:
        Unauthorized: the code is unknown, used or expired.
        Conflict: the user has not confirmed the login. The code still works.
    """
    code_hash = hash_of(code)
    async with db.transaction(pool) as connection:
        found = await store.find_code(connection, code_hash)
        if found is None:
            raise Unauthorized(BAD_CODE)
        before = await _before(connection, browser)
        if not is_confirmed:
            if before is not None and before.session.account_id != found.account_id:
                raise _unconfirmed(before, found.account_name)
            if before is None and found.account_id != await store.first_account(connection):
                raise Conflict(
                    f'This code logs in to the account "{found.account_name}". Send it again with isConfirmed: true.'
                )
        if not await store.use_code(connection, code_hash):
            raise Unauthorized(BAD_CODE)
        grant = Grant(found.role, expires_at=found.session_expires_at)
        return await _begin(connection, browser, found.account_id, found.key_id, grant, before)


async def log_out(pool: Pool, token: str, address: str | None, request_id: str | None) -> None:
    """End the session with this token. A token without a session changes nothing."""
    async with db.transaction(pool) as connection:
        owner = await store.find_owner(connection, hash_of(token))
        if owner is not None:
            await _end(
                connection,
                owner.session,
                Actor.of(principal_of(owner), address=address, request_id=request_id),
            )


async def end(pool: Pool, caller: Principal, session_id: str, by: Actor) -> None:
    """End a session of the account; for a caller that may not administer it, only one of its own key.

    Raises:
        NotFound: there is no such session for the caller.
    """
    async with db.transaction(pool) as connection:
        if not await store.delete(connection, caller.account_id, session_id, visible_key(caller)):
            raise NotFound(f"Session {session_id} does not exist.")
        await audit.record(connection, by, "session.ended", session_id)


def visible_key(caller: Principal) -> str | None:
    """The key whose sessions the caller sees and may end. None: those of all keys of the account."""
    return caller.key_id if caller.grant.is_restricted or not caller.is_member else None


async def create_code(pool: Pool, caller: Principal, by: Actor) -> tuple[str, datetime]:
    """Make a code that logs a browser in with the caller's rights; returns it and when it expires. A session that a
    session makes in this way ends with it."""
    async with db.transaction(pool) as connection:
        end = await store.end_of(connection, caller.id) if caller.kind == "session" else None
        return await _insert_code(connection, caller.account_id, caller.key_id, caller.grant, end, by)


async def create_code_of_operator(pool: Pool, account_id: str | None, by: Actor) -> tuple[str, str, datetime]:
    """Make a code for an account, by default the first; returns the account's id, the code, and when it expires.

    Raises:
        NotFound: there is no such account.
    """
    async with db.transaction(pool) as connection:
        account_id = account_id or await store.first_account(connection)
        if account_id is None:
            raise NotFound("There is no account yet.")
        await accounts.get(connection, account_id)
        code, expires_at = await _insert_code(connection, account_id, None, FULL, None, by)
        return account_id, code, expires_at


async def _insert_code(
    connection: Connection, account_id: str, key_id: str | None, grant: Grant,
    session_expires_at: datetime | None, by: Actor,
) -> tuple[str, datetime]:  # fmt: skip
    code = secrets.token_urlsafe(16)
    expires_at = await store.insert_code(
        connection, hash_of(code), account_id, key_id, grant.role, session_expires_at
    )
    await audit.record(connection, by, "login_code.created", key_id, account_id=account_id)
    return code, expires_at


async def _before(connection: Connection, browser: Browser) -> SessionOwner | None:
    """The session that the browser has already."""
    return None if browser.token is None else await store.find_owner(connection, hash_of(browser.token))


async def _begin(
    connection: Connection, browser: Browser, account_id: str, key_id: str | None, grant: Grant,
    before: SessionOwner | None,
) -> tuple[str, Session]:  # fmt: skip
    token = secrets.token_urlsafe(32)
    ends = [datetime.now(UTC) + ABSOLUTE, *filter(None, [grant.expires_at])]
    new = NewSession(
        new_id("ses"), hash_of(token), account_id, key_id, grant.role, min(ends),
        browser.user_agent[:MAX_USER_AGENT],
    )  # fmt: skip
    session = await store.insert(connection, new)
    by = Actor(account_id, "session", session.id, browser.address, browser.request_id)
    if before is not None:
        await _end(connection, before.session, by)
    await audit.record(connection, by, "session.created", session.id)
    return token, session


async def _end(connection: Connection, session: Session, by: Actor) -> None:
    if await store.delete(connection, session.account_id, session.id, None):
        await audit.record(connection, by, "session.ended", session.id, account_id=session.account_id)


def _unconfirmed(before: SessionOwner, name: str) -> Conflict:
    return Conflict(
        f'This browser is logged in to the account "{before.account_name}". To log it in to "{name}" instead, send the '
        "request again with isConfirmed: true."
    )
