"""Starts, watches and stops PostgreSQL, the API and a runner on one machine, in one data folder."""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import asyncpg
import httpx2

from agentcontainer import db
from agentcontainer.api_url import local_url
from agentcontainer.cli.children import Child
from agentcontainer.cli.data_dir import ensure_secret_key
from agentcontainer.cli.database import migrated
from agentcontainer.cli.log_lines import once_a_minute
from agentcontainer.cli.runtime_setup import install_if_missing
from agentcontainer.domain.accounts import service
from agentcontainer.domain.audit.model import COMMAND_LINE
from agentcontainer.domain.installation.service import adopt_settings
from agentcontainer.domain.installation.shown_settings import encoded
from agentcontainer.domain.sessions import service as sessions
from agentcontainer.embedded.location import service_uid
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.settings import ENV_PREFIX, FROM_FILES, Settings

READY_SECONDS = 60.0
READY_POLL_SECONDS = 0.1
DRAIN_SECONDS = 35.0  # longer than the 30 s in which a runner drains
EARLY_DEATHS = 3
WATCH_SECONDS = 0.2
TRIM_SECONDS = 60.0
FIRST_ACCOUNT_LOCK = 0x61676661  # an arbitrary number, the same in every process


@dataclass(frozen=True)
class Started:
    """The API's URL, and the API key of the first account if this start created it."""

    base_url: str
    api_key: str | None
    new_key: Callable[[], Awaitable[str]]
    """Makes a further API key of the first account."""
    new_login_code: Callable[[], Awaitable[str]]
    """Makes a code that logs one browser in to the first account."""


class Installation:
    """One installation's processes. `report` gets messages for the operator, such as restarts."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._report = once_a_minute(report)
        self._postgres: Postgres | None = None
        self._children: list[Child] = []
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> Started:
        """Start everything; return when the API is ready.

        Raises:
            AgentContainerError: a part did not start; says which. Call `stop` for what was started.
        """
        await install_if_missing(self._report)
        if self._settings.secret_key is None:
            ensure_secret_key(self._settings.data_dir)
        port = free_port(self._settings.host, self._settings.port)
        url = await self._start_database()
        await migrated(url, report=self._report)
        if self._settings.database_url is None:  # no other host can use the embedded server
            await self._adopt_settings(url)
        reached_at = local_url(self._settings.host, port)
        update = {
            "database_url": self._settings.database_url or url,
            "port": port,
            "offline_model": self._settings.offline_model or "on",
        }
        environment = environment_of(self._settings.model_copy(update=update), self._environment)
        runner = ["runner", "--region", self._settings.region or "eu"]
        self._children = [Child(command, environment, self._report) for command in (["api"], runner)]
        for child in self._children:
            child.start()
        await self._ready(reached_at)
        return Started(
            reached_at, await first_account(url), lambda: further_key(url), lambda: login_code(url)
        )

    async def stop(self) -> None:
        """Drain the runner and stop the API, then PostgreSQL; idempotent."""
        await asyncio.gather(*(child.stop(DRAIN_SECONDS) for child in self._children))
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._postgres is not None:
            await self._postgres.stop()

    def kill(self) -> None:
        """Kill everything at once; a waiting `stop` then returns."""
        for child in self._children:
            child.kill()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._postgres is not None:
            self._postgres.kill()

    async def _start_database(self) -> str:
        if self._settings.session_url is not None:
            return self._settings.session_url
        self._postgres = Postgres(self._settings.data_dir, service_uid=service_uid(self._settings))
        url = await self._postgres.start()
        self._watcher = asyncio.create_task(self._watch(self._postgres))
        return url

    async def _adopt_settings(self, url: str) -> None:
        async with db.pool(url, max_size=2) as pool:
            for change in await adopt_settings(pool, self._settings, are_all=True):
                if change.before is not None:
                    self._report(change.sentence)

    async def _watch(self, postgres: Postgres) -> None:
        trim_at = time.monotonic() + TRIM_SECONDS
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not postgres.is_running():
                self._report("PostgreSQL ended; restarting it")
                try:
                    await postgres.start()
                except (AgentContainerError, OSError, asyncpg.PostgresError) as error:
                    self._report(f"PostgreSQL: {error}")
                    await asyncio.sleep(1)
            if time.monotonic() > trim_at:
                postgres.trim_log()
                trim_at += TRIM_SECONDS

    async def _ready(self, reached_at: str) -> None:
        give_up_at = time.monotonic() + READY_SECONDS
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            while time.monotonic() < give_up_at:
                with contextlib.suppress(httpx2.HTTPError):
                    if (await client.get(f"{reached_at}/readyz")).status_code == 200:
                        return
                for child in self._children:
                    if child.early_deaths >= EARLY_DEATHS:
                        raise AgentContainerError(f"The {child.name} does not start; see its messages above.")
                await asyncio.sleep(READY_POLL_SECONDS)
        raise AgentContainerError(f"The API did not become ready within {READY_SECONDS:.0f} s.")


@contextlib.asynccontextmanager
async def running(
    settings: Settings, environment: Mapping[str, str], report: Callable[[str], None]
) -> AsyncGenerator[Started]:
    """Runs everything for the duration of the block."""
    installation = Installation(settings, environment, report)
    try:
        yield await installation.start()
    finally:
        await installation.stop()


def environment_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a child reads the same settings."""
    in_files = {name for name in FROM_FILES if getattr(settings, f"{name}_file") is not None}
    values = {name: getattr(settings, name) for name in settings.model_fields_set - in_files}
    configured = {
        ENV_PREFIX + name.upper(): encoded(value) for name, value in values.items() if value is not None
    }
    return {
        name: value for name, value in environment.items() if not name.startswith(ENV_PREFIX)
    } | configured


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        SettingsError: the port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        is_host_wrong = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise SettingsError(
            f"The API cannot listen on {host} port {port}: {reason}. "
            f"Choose another {'--host' if is_host_wrong else '--port'}."
        ) from None


async def first_account(url: str) -> str | None:
    """Create an account if there is none, and return its API key; concurrent calls create one account."""
    async with db.pool(url, max_size=2) as pool, pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", FIRST_ACCOUNT_LOCK)
        if await connection.fetchval("SELECT true FROM accounts LIMIT 1"):
            return None
        # The operator pays the providers directly, so this account needs no credit.
        _, key = await service.create_account(pool, name="first account", is_unlimited=True, is_operator=True)
        return key


async def further_key(url: str) -> str:
    """A new API key of the first account, for the profile of the user who runs `up`."""
    async with db.pool(url, max_size=2) as pool:
        account_id = await pool.fetchval(
            "SELECT id FROM accounts WHERE deleted_at IS NULL ORDER BY id LIMIT 1"
        )
        _, key = await service.create_key(pool, account_id, "local profile")
        return key


async def login_code(url: str) -> str:
    """A code that logs one browser in to the first account, once, within ten minutes."""
    async with db.pool(url, max_size=2) as pool:
        _, code, _ = await sessions.create_code_of_operator(pool, None, COMMAND_LINE)
        return code
