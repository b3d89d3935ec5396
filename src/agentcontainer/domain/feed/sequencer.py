"""Gives the entries of all feeds their positions, in one process at a time.

Writers of events only insert into an outbox, so they wait for nobody, and a transaction that commits late gets a later
position. The process that holds an advisory lock moves the outbox into the feeds. The lock belongs to the connection
that moves, so it ends with that process, and another one takes over.
"""

import asyncio
import os
import socket
from contextlib import suppress
from functools import partial

import asyncpg

from agentcontainer import crash, db
from agentcontainer.domain.feed import store
from agentcontainer.periodic import repeat
from agentcontainer.session_limits import Timeouts

LOCK = 0x61676663  # any number, but the same in every process
APPLICATION_NAME = "agentcontainer feed"  # of the connection, before the process' host and pid
STANDBY_SECONDS = 0.1  # between two tries to get the lock
RETRY_SECONDS = 0.25
PAUSE_SECONDS = 0.01  # after a batch, so that many events make few batches
POLL_SECONDS = 1.0  # also shows that the connection works
BATCH_ENTRIES = 1000
STATEMENT_SECONDS = 10.0
# The server ends the session, and with it the lock, of a process that is stopped or whose host vanished.
SILENT_SECONDS = 3.0
TIMEOUTS = Timeouts(idle_in_transaction=SILENT_SECONDS, lock=2.0, silence=SILENT_SECONDS)

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"


async def number_forever(url: str, task_pages: str | None = None) -> None:
    """Number the entries of all feeds while no other process does.

    `task_pages`: what the URL of a task's page begins with, before the task's id; None: there is no dashboard.
    """
    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("numbering the feed", partial(_wait_and_number, url, task_pages), RETRY_SECONDS, expected)


async def _wait_and_number(url: str, task_pages: str | None) -> None:
    """Wait until no other process numbers, then number until the connection fails.

    The connection is open while this process waits: opening it takes most of a takeover on a busy host.
    """
    server_settings = {
        "application_name": f"{APPLICATION_NAME} {socket.gethostname()} {os.getpid()}",
        "idle_session_timeout": f"{SILENT_SECONDS * 1000:.0f}",
    }
    connection = await db.connect(
        url, timeouts=TIMEOUTS, command_timeout=STATEMENT_SECONDS, server_settings=server_settings
    )
    try:
        await _lock(connection)
        await _number(connection, task_pages)
    finally:
        connection.terminate()


async def _lock(connection: db.RawConnection) -> None:
    while True:
        if await connection.fetchval(_TRY_LOCK, LOCK):
            return
        await asyncio.sleep(STANDBY_SECONDS)


async def _number(connection: db.RawConnection, task_pages: str | None) -> None:
    has_news = asyncio.Event()

    def on_notification(*_: object) -> None:
        has_news.set()

    await connection.add_listener(store.OUTBOX_CHANNEL, on_notification)
    while True:
        has_news.clear()
        while (numbered := await store.number(connection, BATCH_ENTRIES, task_pages)) == BATCH_ENTRIES:
            pass
        if numbered:
            crash.reach("numbered")
        await asyncio.sleep(PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await has_news.wait()
