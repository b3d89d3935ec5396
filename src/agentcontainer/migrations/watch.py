"""Watches the schema while a process runs: a newer version may migrate it to one that this version cannot use."""

import logging
from collections.abc import Callable

import asyncpg

from agentcontainer import db
from agentcontainer.errors import SettingsError
from agentcontainer.migrations.schema import fault_in_use
from agentcontainer.periodic import repeat

logger = logging.getLogger(__name__)

WATCH_SECONDS = 20.0


class Watch:
    """Notices that a migration by a newer version has left this process without a schema that it can use."""

    def __init__(
        self, pool: db.Pool, on_fault: Callable[[], None], every_seconds: float | None = None
    ) -> None:
        self._pool = pool
        self._on_fault = on_fault
        self._every_seconds = WATCH_SECONDS if every_seconds is None else every_seconds
        self._fault: str | None = None

    async def run(self) -> None:
        """Look every few seconds until cancelled. `on_fault` is called once."""
        expected = (asyncpg.PostgresError, *db.UNREACHABLE)
        await repeat("checking the schema", self._look, self._every_seconds, expected)

    def check(self) -> None:
        """Raises:
        SettingsError: the schema became one that this version cannot use.
        """
        if self._fault is not None:
            raise SettingsError(self._fault)

    async def _look(self) -> None:
        if self._fault is None and (sentence := await fault_in_use(self._pool)) is not None:
            self._fault = sentence
            logger.error("stopping: %s", sentence)
            self._on_fault()
