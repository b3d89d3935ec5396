"""Watches whether a process still belongs to the installation: settings, keys and stores change while it runs."""

import logging
from collections.abc import Awaitable, Callable

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.installation.service import Examined, examine, mark_first_store
from agentcontainer.periodic import repeat
from agentcontainer.repetition import Repetition
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

WATCH_SECONDS = 20.0


async def watch_forever(
    pool: Pool, settings: Settings, vault: Vault, blobs: Blobs,
    consequence: str, react: Callable[[Examined], Awaitable[None]],
) -> None:  # fmt: skip
    """Examine this process every `WATCH_SECONDS` until cancelled, and call `react` with the result each time.

    Faults are logged once a minute, with the `consequence`, such as "this runner takes no work". `settings`: as they
    were set for this process, before `join` completed them.
    """
    repetition = Repetition()
    had_faults = False

    async def look() -> None:
        nonlocal had_faults
        await mark_first_store(pool, blobs)
        examined = await examine(pool, settings, vault, blobs)
        if (sentence := examined.sentence) is not None:
            if repetition.admit(sentence) is not None:
                logger.error("%s: %s", consequence, sentence)
        elif had_faults:
            logger.info("this process fits its installation again")
        had_faults = sentence is not None
        await react(examined)

    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("checking that this process fits its installation", look, WATCH_SECONDS, expected)
