"""Wake links: a URL that wakes one task from one hibernation, once, and allows nothing else.

The token in the URL is the link's id, `-`, and a signature of it, so that ids cannot be guessed.
"""

from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.hibernation import store
from agentcontainer.domain.hibernation.model import NewWakeLink, StoredWakeLink, WakeLink
from agentcontainer.domain.hibernation.service import wake_locked
from agentcontainer.domain.tasks import store as tasks
from agentcontainer.domain.tasks.model import Claim, Task
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.errors import Conflict, Forbidden, NotFound
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

LIFE = timedelta(days=30)
MAX_LINKS = 100  # of one task


async def create(pool: Pool, vault: Vault, claim: Claim) -> str | None:
    """Create a link for the next hibernation of a running task; returns its token.

    None: the claim is lost, or the task has too many links.
    """
    link = NewWakeLink(new_id("wkl"), claim.task_id, claim.attempt, LIFE)
    return None if await store.insert_link(pool, link, MAX_LINKS) is None else token_of(vault, link.id)


async def create_for_client(pool: Pool, account_id: str, task_id: str) -> tuple[str, datetime]:
    """Create a link for the current hibernation, or else for the next one; returns its id and when it expires.

    Raises:
        NotFound: no such task.
        Conflict: it has ended, cannot hibernate, or has too many links.
    """
    async with db.transaction(pool) as connection:
        task = await conversations.lock(connection, account_id, task_id)
        if task.status in TERMINAL:
            raise Conflict(f"Task {task_id} is {task.status} and cannot be woken.")
        if task.mode == "conversation" and task.handed_off_at is None:
            raise Conflict(f"Task {task_id} is a conversation and does not hibernate: send it a message.")
        link = NewWakeLink(new_id("wkl"), task_id, None, LIFE)
        expires_at = await store.insert_link(connection, link, MAX_LINKS)
        if expires_at is None:
            raise Conflict(f"Task {task_id} has {MAX_LINKS} wake links, and no more can be made.")
        return link.id, expires_at


async def is_used_up(pool: Pool, url: str) -> bool:
    """Whether the link of this URL was used, has expired, or went with its task."""
    link = await store.get_link(pool, url.rpartition("/")[2].partition("-")[0])
    return link is None or link.used_at is not None or link.has_expired


def token_of(vault: Vault, link_id: str) -> str:
    """The token of a link. It is computed, not stored."""
    return f"{link_id}-{vault.sign('wake', link_id)}"


def url_of(settings: Settings, vault: Vault, link_id: str) -> str:
    """The URL of a link."""
    return f"{settings.api_url}/wake/{token_of(vault, link_id)}"


async def get(pool: Pool, vault: Vault, token: str) -> WakeLink:
    """What the link would wake.

    Raises:
        NotFound: there is no such link.
        Conflict: it was used, has expired, or its task does not hibernate (yet).
        Forbidden: the account is suspended.
    """
    link = await _find(pool, vault, token)
    task = await tasks.get(pool, link.task_id)
    if task is None:
        raise _no_link()
    _check(link, task)
    return WakeLink(task.title, task.hibernation_message, task.hibernate_until_at)


async def use(pool: Pool, vault: Vault, token: str, message: str | None) -> None:
    """Wake the task.

    Raises:
        NotFound, Conflict, Forbidden: as `get`.
        ValidationError: the message is not valid.
    """
    if message is not None:
        conversations.check_content(message, "message")
    link = await _find(pool, vault, token)
    async with db.transaction(pool) as connection:
        task = await tasks.lock(connection, link.task_id)
        link = await store.get_link(
            connection, link.id
        )  # again: it may have been used before the row was locked
        if task is None or link is None:  # the task is deleted
            raise _no_link()
        _check(link, task)
        await store.set_link_used(connection, link.id)
        await wake_locked(connection, task.id, "link", message, task.last_turn_number)


async def _find(pool: Pool, vault: Vault, token: str) -> StoredWakeLink:
    link_id, _, signature = token.partition("-")
    link = await store.get_link(pool, link_id) if vault.is_signed(signature, "wake", link_id) else None
    if link is None:
        raise _no_link()
    return link


def _no_link() -> NotFound:
    return NotFound("There is no such link.")


def _check(link: StoredWakeLink, task: Task) -> None:
    if link.is_suspended:
        raise Forbidden("The account of this task is suspended, so the link wakes nothing now.")
    if link.used_at is not None:
        raise Conflict("This link has been used already. A link works once.")
    if link.has_expired:
        raise Conflict("This link has expired.")
    is_asked_for = task.status is Status.HIBERNATING and task.hibernation_reason in ("agent", None)
    if is_asked_for and link.hibernation_number == task.hibernation_number:
        return
    if task.status in TERMINAL or link.hibernation_number <= task.hibernation_number:
        raise Conflict("This link is out of date: the task was woken in another way, or has ended.")
    if task.hibernation_reason == "budget":
        raise Conflict("The budget of the task is used up; its owner must raise it.")
    raise Conflict("The task does not hibernate yet. Try again in a moment.")
