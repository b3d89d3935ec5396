"""A runner process, from its settings to its drained end."""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from agentcontainer import db
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks import runners
from agentcontainer.errors import SettingsError
from agentcontainer.gateway.app import provider_client
from agentcontainer.ids import new_id
from agentcontainer.migrations.schema import is_current
from agentcontainer.runner.supervisor import Supervisor
from agentcontainer.runner.sweep import runner_folder, sweep_dead_runners, sweep_forever
from agentcontainer.runner.tools import Tools
from agentcontainer.runtime import install
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

LOCKS = Path("/run/lock/agentcontainer")  # of this host: all runners on it share its uids
DRAIN_SECONDS = 30.0


async def serve(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT, then drain; a second signal drops everything at once.

    Raises:
        SettingsError: the runtime is not installed, or the schema is another.
        SandboxError: what a dead runner left cannot be removed.
    """
    assert settings.database_url and settings.storage_url and settings.secret_key
    install.check()
    if not await is_current(settings.database_url):
        raise SettingsError("The database does not have this version's schema. Run: agentcontainer migrate")
    runner_id = new_id("rnr")
    sandboxes = Bubblewrap(settings.sandbox_uid_base, LOCKS)
    if reason := sandboxes.weak_limits_reason:
        logger.warning("%s", reason)
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(db.pool(settings.database_url, max_size=settings.capacity + 8))
        if swept := await sweep_dead_runners(settings.data_dir):
            logger.info("swept what %d dead runners left", len(swept))
            await db.patiently(lambda: runners.stop(pool, swept))
        folder = stack.enter_context(runner_folder(settings.data_dir, runner_id))
        client = await stack.enter_async_context(provider_client())
        tools = Tools(
            settings, pool, Vault(settings.secret_key.get_secret_value()), Blobs(settings.storage_url),
            sandboxes, client, install.runtime_dir(), folder,
        )  # fmt: skip
        region = settings.region or "any"
        supervisor = Supervisor(tools, runner_id, region, settings.capacity)
        logger.info("runner %s: region %s, capacity %d", runner_id, region, settings.capacity)
        sweeping = asyncio.create_task(sweep_forever(pool, settings.data_dir))
        try:
            await _until_drained(supervisor)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)


async def _until_drained(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(supervisor.run())
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            logger.info("draining")
            supervisor.drain()
            loop.call_later(DRAIN_SECONDS, working.cancel)
        else:
            working.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await working
