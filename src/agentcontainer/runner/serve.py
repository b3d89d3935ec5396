"""The runner process: starts the supervisor and the clean-up loops, and drains on a signal."""

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
from datetime import timedelta
from pathlib import Path

from agentcontainer import db, open_files
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.installation import service as installation
from agentcontainer.domain.installation.service import Examined
from agentcontainer.domain.installation.watch import watch_forever
from agentcontainer.domain.tasks import runners
from agentcontainer.embedded.location import offline_model_uid
from agentcontainer.errors import SettingsError
from agentcontainer.gateway.app import provider_client
from agentcontainer.gateway.offline_model import OfflineModel
from agentcontainer.ids import new_id
from agentcontainer.images.cleaning import CacheLimits, clean_forever
from agentcontainer.migrations import schema
from agentcontainer.migrations.watch import Watch
from agentcontainer.periodic import background
from agentcontainer.proxies import Proxies
from agentcontainer.runner.cleanup import clean_up_forever, remove_dead_runners, runner_folder
from agentcontainer.runner.probes import exposition, own_name
from agentcontainer.runner.services import IMAGES_FOLDER, Services
from agentcontainer.runner.supervisor import Supervisor
from agentcontainer.runtime import install
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.host_uids import LOCKS
from agentcontainer.sandbox.uid_scope import UidScope, uid_scope
from agentcontainer.sandbox.volume import Room, Volumes
from agentcontainer.sandbox.watchdog import Watchdog
from agentcontainer.settings import Settings
from agentcontainer.telemetry import log_context, otel
from agentcontainer.telemetry.server import serving

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
FILES_PER_SANDBOX = 160  # its pipes and sockets, with as many connections to these as an agent may open


async def serve(settings: Settings, *, host_mounts: int | None) -> None:
    """Run tasks until SIGTERM or SIGINT, then drain. A second signal stops all attempts at once, without saving.

    `host_mounts`: a descriptor of the host's mount namespace, if this process has its own one, so that its mounts
    disappear with it.

    Raises:
        SettingsError: the runtime is not installed, or this version cannot use the database's schema, now or later.
    """
    assert settings.database_url and settings.session_url and settings.storage_url and settings.secret_key
    install.check()
    Proxies.of(os.environ)  # a wrong proxy stops the start, not the first task
    if (fault := await schema.fault(settings.session_url)) is not None:
        raise SettingsError(fault)
    _warn_of_few_files(settings.capacity)
    runner_id = new_id("rnr")
    log_context.set_runner(runner_id)
    sandboxes = Bubblewrap(settings.sandbox_uid_base, LOCKS)
    if reason := sandboxes.weak_limits_reason:
        logger.warning("%s", reason)
    async with contextlib.AsyncExitStack() as stack:
        tracing = await stack.enter_async_context(otel.tracing(settings, os.environ))  # closed last
        pool = await stack.enter_async_context(db.pool(
            settings.database_url, max_size=pool_size(settings),
            is_pooled=settings.is_database_pooled,
        ))  # fmt: skip
        vault, blobs = Vault(settings.secret_key.get_secret_value()), Blobs(settings.storage_url)
        own_settings = settings
        joined = await installation.join(pool, settings, vault, blobs)
        settings = joined.settings
        uids = uid_scope(settings.sandbox_uid_base, LOCKS)
        await _check_uids(pool, settings, uids)
        if removed := await remove_dead_runners(settings.data_dir):
            logger.info("removed what %d dead runners left", len(removed))
            await db.retry_while_unavailable(lambda: runners.stop(pool, removed))
        folder = stack.enter_context(runner_folder(settings.data_dir, runner_id))
        watchdog = await stack.enter_async_context(Watchdog.started(folder, host_mounts))
        volumes = await _volumes(settings, folder, has_own_mounts=host_mounts is not None)
        client = await stack.enter_async_context(provider_client())
        offline_model = OfflineModel(offline_model_uid(settings))
        stack.push_async_callback(offline_model.close)
        services = Services(
            settings, pool, vault, blobs, sandboxes, client, install.runtime_dir(), folder, volumes, offline_model,
            tracing,
        )  # fmt: skip
        region = settings.region or "any"
        name = stack.enter_context(own_name(settings))
        supervisor = Supervisor(services, runner_id, region, settings.capacity, name, watchdog.renew)

        async def react(examined: Examined) -> None:
            supervisor.set_fit(not examined.faults)
            await runners.record_host(pool, runner_id, examined.skew.seconds, uids)

        supervisor.set_fit(not joined.examined.faults)
        logger.info("runner %s (%s): region %s, capacity %d", runner_id, name, region, settings.capacity)
        await stack.enter_async_context(serving(
            settings.runner_metrics_address, exposition(supervisor, pool, folder),
            setting="AGENTCONTAINER_RUNNER_METRICS_ADDRESS", unready_reason=supervisor.unready_reason,
        ))  # fmt: skip
        limits = CacheLimits(settings.image_cache_days * 86_400, settings.image_cache_bytes)
        async with background(
            watchdog.keep_running(),
            clean_up_forever(pool, settings.data_dir),
            clean_forever(settings.data_dir / IMAGES_FOLDER, limits),
            watch_forever(pool, own_settings, vault, blobs, "this runner takes no work", react),
        ):
            await _until_drained(supervisor, pool)


def pool_size(settings: Settings) -> int:
    """How many connections the runner's pool may have. It has two others: for claims and for heartbeats."""
    return settings.database_pool_size or max(2, math.ceil(settings.capacity / 2))


async def _check_uids(pool: db.Pool, settings: Settings, uids: UidScope | None) -> None:
    """Raises:
    SettingsError: a runner that shares this kernel, but not our locks, has sandboxes with the same uids.
    """
    silence = timedelta(seconds=settings.runner_lost_after_seconds)
    if uids is not None and (host := await runners.host_with_same_uids(pool, uids, silence)) is not None:
        raise SettingsError(
            f"AGENTCONTAINER_SANDBOX_UID_BASE {settings.sandbox_uid_base}: the runner of host {host} runs on the same "
            "kernel, as a container and its host do, and uses the same uids. Each would end the other's sandboxes. Set "
            "a base that is at least 1000 away, or let both use the same /run/lock/agentcontainer."
        )


async def _volumes(settings: Settings, folder: Path, *, has_own_mounts: bool) -> Volumes:
    room = Room(settings.sandbox_disk_bytes, settings.sandbox_inodes)
    volumes = await Volumes.try_out(room, folder, has_namespace=has_own_mounts)
    if volumes.weak_reason is None:
        logger.info("each workspace is a volume of %d bytes and %d files", room.bytes, room.inodes)
    else:
        logger.warning(
            "WEAK DISK LIMITS: %s, so disk usage is polled: an agent can exceed its limit for a few seconds.",
            volumes.weak_reason.rstrip("."),
        )
    free, needed = shutil.disk_usage(folder).free, settings.capacity * room.bytes
    if free < needed:
        logger.warning(
            "%d bytes are free on the disk, but all workspaces may use %d together. If the disk fills up, tasks wait: "
            "lower AGENTCONTAINER_SANDBOX_DISK_BYTES or AGENTCONTAINER_CAPACITY, or free some space.", free, needed,
        )  # fmt: skip
    return volumes


def _warn_of_few_files(capacity: int) -> None:
    limit, needed = open_files.limit(), capacity * FILES_PER_SANDBOX
    if limit < needed:
        logger.warning(
            "%d files may be open, but %d sandboxes may need %d: raise the limit (LimitNOFILE in systemd), or lower "
            "AGENTCONTAINER_CAPACITY.", limit, capacity, needed,
        )  # fmt: skip


async def _until_drained(supervisor: Supervisor, pool: db.Pool) -> None:
    """Raises:
    SettingsError: the database got a schema that this version cannot use.
    """
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(supervisor.run())
    signals = 0

    def drain() -> None:
        supervisor.drain()
        loop.call_later(DRAIN_SECONDS, working.cancel)

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            logger.info("draining")
            drain()
        else:
            working.cancel()

    watch = Watch(pool, drain)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with background(watch.run()):
        with contextlib.suppress(asyncio.CancelledError):
            await working
    watch.check()
