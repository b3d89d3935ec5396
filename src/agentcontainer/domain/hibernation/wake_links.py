"""Wake links: a URL that wakes one task from one hibernation, once, and can do nothing else.

The token in the URL is the link's id, `-`, and our signature of the id, so that nobody can guess it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.hibernation.service import wake_locked
from agentcontainer.domain.tasks import store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.ids import new_id

LIFE = timedelta(days=30)
MAX_LINKS = 100  # of one task

_INSERT = """
INSERT INTO wake_links (id, task_id, hibernation_number, expires_at)
SELECT $1, t.id, t.hibernation_number + 1, $4 FROM tasks t
WHERE t.id = $2 AND t.attempt = $3 AND t.status = 'running'
    AND (SELECT count(*) FROM wake_links WHERE task_id = $2) < $5
RETURNING true
"""
_FIND = "SELECT * FROM wake_links WHERE id = $1"
_USE = "UPDATE wake_links SET used_at = now() WHERE id = $1"


@dataclass(frozen=True)
class WakeLink:
    """What the holder of a wake link is shown about the task."""

    title: str | None
    message: str | None
    """Why it hibernates, in the agent's words."""
    hibernate_until_at: datetime | None


async def create(pool: Pool, vault: Vault, claim: Claim) -> str | None:
    """Create a link for the next hibernation of a running task; returns its token. None: the claim is lost, or the task
    has `MAX_LINKS` already."""
    link_id = new_id("wkl")
    expires_at = datetime.now(UTC) + LIFE
    values = (link_id, claim.task_id, claim.attempt, expires_at, MAX_LINKS)
    if not await pool.fetchval(_INSERT, *values):
        return None
    return f"{link_id}-{vault.sign('wake', link_id)}"


async def get(pool: Pool, vault: Vault, token: str) -> WakeLink:
    """The task that the link would wake, as the link's holder sees it.

    Raises:
        NotFound: there is no such link. Conflict: it was used, has expired, or its task does not hibernate (yet).
    """
    row = await _row(pool, vault, token)
    task = await store.get(pool, row["task_id"])
    assert task is not None
    _check(row, task.status, task.hibernation_number)
    return WakeLink(task.title, task.hibernation_message, task.hibernate_until_at)


async def use(pool: Pool, vault: Vault, token: str, message: str | None) -> None:
    """Wake the task, once. Raises as `get` does, and ValidationError for an empty or too long message."""
    if message is not None:
        conversations.check_content(message, "message")
    row = await _row(pool, vault, token)
    async with db.transaction(pool) as connection:
        task = await store.lock(connection, row["task_id"])
        assert task is not None
        row = await connection.fetchrow(_FIND, row["id"])  # again, because it may have just been used
        _check(row, task.status, task.hibernation_number)
        await connection.execute(_USE, token.partition("-")[0])
        await wake_locked(connection, task.id, "link", message, task.last_turn_number)


async def _row(pool: Pool, vault: Vault, token: str) -> Any:
    link_id, _, signature = token.partition("-")
    row = await pool.fetchrow(_FIND, link_id) if vault.is_signed(signature, "wake", link_id) else None
    if row is None:
        raise NotFound("There is no such link.")
    return row


def _check(row: Any, status: Status, hibernation_number: int) -> None:
    if row["used_at"] is not None:
        raise Conflict("This link has been used already. A link works once.")
    if row["expires_at"] < datetime.now(UTC):
        raise Conflict("This link has expired.")
    if status is Status.HIBERNATING and row["hibernation_number"] == hibernation_number:
        return
    if status in TERMINAL or row["hibernation_number"] <= hibernation_number:
        raise Conflict("This link is out of date: the task was woken in another way, or has ended.")
    raise Conflict("The task does not hibernate yet. Try again in a moment.")
