"""The database: one asyncpg pool per process, transactions, and LISTEN.

SQL is plain, kept as named constants beside the code that runs it. `jsonb` columns are Python values.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Record = asyncpg.Record
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Record = asyncpg.Record

T = TypeVar("T")
JsonObject = dict[str, Any]  # of a jsonb column, or the data of an event
RECONNECT_SECONDS = 0.5
PAGE_BYTES = 4 * 1024 * 1024  # of the rows of one page as text: it stands in memory several times over

# Counted in the database, so that what does not fit is never sent here.
_PAGE = """
SELECT * FROM (
    SELECT *, count(*) OVER () AS rows_found, sum(octet_length(listed::text))
        OVER (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM ({query} ORDER BY {order} LIMIT {limit}) AS listed
) AS page WHERE bytes_before IS NULL OR bytes_before < {most_bytes} ORDER BY {order}
"""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """JSON-like `value` with what PostgreSQL text cannot hold (NUL, lone surrogates) replaced by U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in cast("list[Any]", value)]
    return value


async def init_connection(connection: Connection) -> None:
    """Make `jsonb` columns arrive and leave as Python values. A `str` is JSON already: PgQueuer sends it so."""
    await connection.set_type_codec(
        "jsonb", encoder=_to_json, decoder=json.loads, schema="pg_catalog", format="text"
    )


def _to_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def _keep(_connection: Connection) -> None:
    """asyncpg has rolled back what was open, and nobody here leaves anything else on a pooled connection: its default
    reset would cost every acquisition a further round trip."""


@asynccontextmanager
async def pool(url: str, *, max_size: int = 10) -> AsyncGenerator[Pool]:
    """The process's pool; connections are made when first needed and closed at the end."""
    created = await asyncpg.create_pool(
        url, min_size=1, max_size=max_size, init=init_connection, reset=_keep, command_timeout=30
    )
    try:
        yield created
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(created.close(), 5)
        created.terminate()


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncGenerator[Connection]:
    """One connection in one transaction: committed on leaving, rolled back on any exception."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


def enlist(connection: Connection) -> Pool:
    """A pool whose every statement and transaction runs in the transaction that `connection` is in.

    Whoever takes a pool thereby takes part in a larger transaction: its own become savepoints. A statement that
    fails outside of `transaction()` ends the whole.
    """
    return _Enlisted(connection)


class _Enlisted(asyncpg.Pool):  # pyright: ignore[reportMissingTypeArgument]
    def __init__(self, connection: Connection) -> None:  # and nothing of the pool's own: it opens nothing
        self._connection = connection

    def acquire(self, *, timeout: float | None = None) -> Any:  # noqa: ARG002
        return nullcontext(self._connection)


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, and whether the list goes on after it."""

    rows: Sequence[T]
    has_more: bool


async def fetch_page(
    pool: Connection | Pool, query: str, *arguments: Any, order: str, limit: int, of: Callable[[Record], T]
) -> Page[T]:
    """The first `limit` rows of `query` in this order, each as `of` makes it: fewer where these have more than
    `PAGE_BYTES` together, but at least one."""
    statement = _PAGE.format(
        query=query, order=order, limit=f"${len(arguments) + 1}", most_bytes=f"${len(arguments) + 2}"
    )
    rows = await pool.fetch(statement, *arguments, limit + 1, PAGE_BYTES)
    kept = rows[:limit]
    return Page([of(row) for row in kept], bool(rows) and rows[0]["rows_found"] > len(kept))


# InternalClientError: what asyncpg sometimes says of a connection that was just killed.
UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError,
               asyncpg.InternalClientError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError,
               asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)  # fmt: skip


async def retry_while_unavailable(action: Callable[[], Awaitable[T]], seconds: float = 30) -> T:
    """Repeat `action` while the database cannot be reached, that long at most.

    An action may have been committed although its connection broke: it must be one that can be repeated.
    """
    deadline = time.monotonic() + seconds
    cancels = _cancels()
    while True:
        try:
            return await action()
        except UNREACHABLE:
            if _cancels() > cancels:  # asyncpg says that its connection is closed, and we would never end
                raise asyncio.CancelledError from None
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RECONNECT_SECONDS)


def _cancels() -> int:
    """How often the current task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def listen(url: str, handlers: dict[str, Callable[[str], None]]) -> None:
    """Call `handlers[channel](payload)` for each notification, until cancelled.

    One connection of its own, made anew when lost. A notification is only a wake-up: what is sent while the
    connection is down is missed, so every caller also polls. On each (re)connect every handler gets `""`.
    """
    cancels = _cancels()
    while _cancels() == cancels:
        with suppress(asyncpg.PostgresError, *UNREACHABLE):
            connection = await asyncpg.connect(url, timeout=10)
            try:
                for channel, handler in handlers.items():
                    await connection.add_listener(channel, _payload_only(handler))
                    handler("")
                while True:
                    await asyncio.sleep(5)
                    await connection.execute("SELECT 1", timeout=5)
            finally:
                connection.terminate()
        await asyncio.sleep(RECONNECT_SECONDS)
    raise asyncio.CancelledError


def _payload_only(handler: Callable[[str], None]) -> Callable[..., None]:
    def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        handler(str(payload))

    return on_notification
