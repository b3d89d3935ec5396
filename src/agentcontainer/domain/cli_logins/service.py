"""Lets a person in a browser approve that a command line gets an API key (the flow of RFC 8628).

The command line has a device code. Its API key follows from that code, so that the key is stored nowhere in plain text,
and a repeated poll after a lost response gives the same key again.
"""

import base64
import hashlib
import secrets
from dataclasses import replace
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import keys
from agentcontainer.domain.accounts.keys import KEY_PREFIX, hash_of
from agentcontainer.domain.accounts.principal import Principal, Role
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import Actor
from agentcontainer.domain.cli_logins import store
from agentcontainer.domain.cli_logins.model import MAX_OPEN, CliLogin, NewCliLogin
from agentcontainer.errors import Conflict, Forbidden, NotFound, RateLimited, Unauthorized
from agentcontainer.ids import new_id

RETRY_SECONDS = 60
# Letters that are not mistaken for others and make no words.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


async def create(pool: Pool, hostname: str, address: str | None) -> tuple[CliLogin, str]:
    """Begin a login; returns it and its device code, which only the command line may know.

    Raises:
        RateLimited: too many logins are open.
    """
    device_code = secrets.token_urlsafe(32)
    key = _key_of(device_code)
    new = NewCliLogin(
        new_id("clg"), hash_of(device_code), hash_of(key), key[-4:], _phrase(), hostname, address
    )
    login = await store.insert(pool, new)
    if login is None:
        raise RateLimited(f"{MAX_OPEN} logins of command lines are open. Try again later.", RETRY_SECONDS)
    return login, device_code


async def get(pool: Pool, login_id: str) -> CliLogin:
    """A login, for the person who is asked to approve it.

    Raises:
        NotFound: there is none, or it has expired.
    """
    login = await store.get(pool, login_id)
    if login is None:
        raise NotFound(f"Login {login_id} does not exist, or has expired.")
    return login


async def decide(
    pool: Pool, caller: Principal, login_id: str, status: Literal["approved", "denied"], role: Role, by: Actor
) -> CliLogin:
    """Approve a login, whose command line then has a key with this role in the caller's account; or deny it. Repeating
    the same decision changes nothing.

    Raises:
        NotFound: there is no such login, or it has expired.
        Conflict: it was decided otherwise, or by another account.
        Forbidden: the role is more than the caller's.
        Unauthorized: the caller's key was revoked meanwhile.
    """
    grant = replace(caller.grant, role=role)
    if not grant.is_within(caller.grant):
        raise Forbidden("A login cannot get a role that is more than yours.")
    async with db.transaction(pool) as connection:
        locked = await store.lock(connection, login_id)
        if locked is None:
            raise NotFound(f"Login {login_id} does not exist, or has expired.")
        login, key_hash, last4 = locked
        if login.status != "pending":
            if (login.status, login.account_id) != (status, caller.account_id):
                raise Conflict("This login has been decided already.")
            return login
        key_id = None
        if status == "approved":
            await keys.lock_own(connection, caller)
            name = f"{login.hostname} (command line)"[:100]
            key_id = await keys.insert_hashed(connection, caller.account_id, name, key_hash, last4, grant)
            await audit.record(connection, by, "cli_login.approved", key_id)
        return await store.decide(connection, login_id, status, caller.account_id, key_id)


async def poll(pool: Pool, device_code: str) -> tuple[CliLogin, str | None]:
    """The login of a command line, and its API key once it is approved.

    Raises:
        Unauthorized: there is no such login, or it has expired.
    """
    login = await store.find(pool, hash_of(device_code))
    if login is None:
        raise Unauthorized("This login is unknown or has expired. Begin another one.")
    return login, _key_of(device_code) if login.status == "approved" else None


def _key_of(device_code: str) -> str:
    """The API key that follows from a device code of 256 random bits."""
    digest = hashlib.sha256(b"api key of device code:" + device_code.encode()).digest()
    return KEY_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _phrase() -> str:
    """Eight letters that the terminal and the browser both show, so that a person can compare them."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
