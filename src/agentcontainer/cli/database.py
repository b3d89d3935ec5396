"""Gives a command a database, whether or not `agentcontainer up` is running."""

import asyncio
import shlex
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import asyncpg

from agentcontainer import pooler
from agentcontainer.cli import data_dir
from agentcontainer.cli.resolve import reaching
from agentcontainer.embedded.location import service_uid, url_of
from agentcontainer.embedded.postgres import running
from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.migrations import schema
from agentcontainer.migrations.left_behind import left_behind
from agentcontainer.migrations.schema import is_empty, is_usable, needs_migration
from agentcontainer.settings import Settings

WAIT_SECONDS = 30  # for an `up` that has just been started
POLL_SECONDS = 0.1


@asynccontextmanager
async def database(settings: Settings) -> AsyncGenerator[str]:
    """The URL of a database whose schema this version can use: the configured one, that of the `up` that is
    running on the data folder, or that of an embedded server started for this block.

    Raises:
        Unavailable: it cannot be reached.
        SettingsError: this version cannot use its schema, or the data folder holds no installation.
    """
    if settings.session_url is not None:
        await _check_schema(settings.session_url)
        yield settings.session_url
    elif data_dir.is_up(settings.data_dir):
        yield await _url_of_running_up(settings)
    elif not data_dir.is_installation(settings.data_dir):
        raise SettingsError(
            f"There is no installation in {settings.data_dir}. Name the folder of one with --data-dir, or make one "
            f"there: agentcontainer up --data-dir {shlex.quote(str(settings.data_dir))}"
        )
    else:
        data_dir.prepare(settings.data_dir)
        async with running(settings.data_dir, service_uid=service_uid(settings)) as url:
            await _migrate(url)
            yield url


async def migrated(
    url: str, *, stops_others: bool = True, report: Callable[[str], None] = lambda _: None
) -> None:
    """Bring the database to this version's schema, unless it has a newer one that this version can use.

    `stops_others`: also if runners or APIs run that cannot use the new schema; `report` gets a line that names them.

    Raises:
        Unavailable: it cannot be reached.
        SettingsError: it has a schema that this version cannot use, or others run that cannot use the new one.
    """
    async with reaching():
        await _migrate(url, stops_others=stops_others, report=report)


async def _migrate(
    url: str, *, stops_others: bool = True, report: Callable[[str], None] = lambda _: None
) -> None:
    if await needs_migration(url):
        if names := ", ".join(await left_behind(url)):
            if not stops_others:
                raise SettingsError(
                    f"Nothing was changed: these processes run and cannot use the new schema: {names}. Stop them "
                    "first, or use --force: they then stop by themselves, and their tasks wait."
                )
            report(
                f"migrating the database; these processes cannot use its new schema and will stop: {names}"
            )
        from agentcontainer.migrations.migrate import migrate

        if await pooler.is_transaction_pooled(url):
            raise SettingsError(pooler.POOLED)
        await migrate(url)
    elif (fault := await schema.fault(url)) is not None:  # of a newer version
        raise SettingsError(fault)


async def _check_schema(url: str) -> None:
    async with reaching():
        if await is_empty(url):
            await _migrate(url)
        elif (fault := await schema.fault(url)) is not None:
            raise SettingsError(fault)


async def _url_of_running_up(settings: Settings) -> str:
    url = url_of(settings.data_dir)
    give_up_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up_at:
        try:
            if await is_usable(url):
                return url
        except (OSError, TimeoutError, asyncpg.PostgresError):
            pass  # still starting
        await asyncio.sleep(POLL_SECONDS)
    raise AgentContainerError(
        f"`agentcontainer up` is running on {settings.data_dir}, but its PostgreSQL does not answer. "
        "If it uses another database, set AGENTCONTAINER_DATABASE_URL here too."
    )
