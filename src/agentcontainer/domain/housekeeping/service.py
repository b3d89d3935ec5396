"""The periodic work that one process does for the whole installation.

It moves on the tasks that nobody works on, removes what was deleted or is too old, and blobs without a row. Every
pass finds what is due by an index and works in batches.
"""

import logging
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.deletion import accounts as account_deletion
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import clean_up_forever
from agentcontainer.domain.housekeeping.leader import lead
from agentcontainer.domain.retention.service import purge
from agentcontainer.domain.tasks.reconcile import Reconciler
from agentcontainer.domain.webhooks import settling as webhooks
from agentcontainer.errors import Unavailable
from agentcontainer.periodic import repeat
from agentcontainer.settings import Settings

REMOVAL_SECONDS = 60.0
WEBHOOKS_SECONDS = 60.0
PURGE_SECONDS = 3600.0
EXPECTED = (Unavailable, asyncpg.PostgresError, *db.UNREACHABLE)

logger = logging.getLogger(__name__)


async def keep_house(pool: Pool, blobs: Blobs, settings: Settings) -> NoReturn:
    """Do the work while this process leads, and wait while another does, until cancelled."""
    assert settings.session_url is not None
    reconciler = Reconciler(pool, settings)

    async def remove_accounts() -> None:
        await _remove_accounts(pool, blobs, settings)

    def loops() -> Sequence[Coroutine[Any, Any, None]]:
        return (
            reconciler.run(),
            clean_up_forever(pool, blobs),
            checkpoints.clean_up_forever(pool, blobs),
            repeat("removing deleted tasks", lambda: _remove_deleted(pool, blobs), REMOVAL_SECONDS, EXPECTED),
            # A loop of its own: an account of a million tasks takes an hour.
            repeat("removing deleted accounts", remove_accounts, REMOVAL_SECONDS, EXPECTED),
            repeat("cleaning up webhooks", lambda: webhooks.clean_up(pool), WEBHOOKS_SECONDS, EXPECTED),
            repeat("purging old data", lambda: purge(pool, blobs, settings), PURGE_SECONDS, EXPECTED),
        )

    await lead(settings.session_url, pool, loops, reconciler.expect_late_heartbeats)


async def _remove_deleted(pool: Pool, blobs: Blobs) -> None:
    if removed := await deletion.remove_marked(pool, blobs):
        logger.info("removed the rest of %d deleted tasks", removed)


async def _remove_accounts(pool: Pool, blobs: Blobs, settings: Settings) -> None:
    if removed := await account_deletion.remove_marked(pool, blobs, settings):
        logger.info("removed what %d deleted accounts had", removed)
