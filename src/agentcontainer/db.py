"""Access to PostgreSQL through asyncpg: the pool, transactions, pages of a list, retries during an outage, and LISTEN.

It contains no SQL of tables. `jsonb` columns are Python values.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import asyncpg

from agentcontainer import database_url
from agentcontainer.bounded_pool import BoundedPool
from agentcontainer.session_limits import TIMEOUTS, Timeouts, set_limits

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    RawConnection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Record = asyncpg.Record
else:
    RawConnection = asyncpg.Connection
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Record = asyncpg.Record

logger = logging.getLogger(__name__)

T = TypeVar("T")
JsonObject = dict[str, Any]  # what a client or a model sent, stored as it is
RECONNECT_SECONDS = 0.5
PAGE_BYTES = 4 * 1024 * 1024  # of one page's rows as text; in memory they take several times as much

# The database counts the bytes, so that it does not send rows which the page has no room for.
_PAGE = """
SELECT * FROM (
    SELECT *, count(*) OVER () AS rows_found, sum(octet_length(listed::text))
        OVER (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM ({query} ORDER BY {order} LIMIT {limit}) AS listed
) AS page WHERE bytes_before IS NULL OR bytes_before < {most_bytes} ORDER BY {order}
"""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """`value`, as JSON has it, with U+FFFD for each character that PostgreSQL cannot store: NUL and lone surrogates."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in cast("list[Any]", value)]
    return value


CONNECT_SECONDS = 10.0
STATEMENT_CACHE = 100  # prepared statements of a connection


async def connect(
    url: str, *, timeouts: Timeouts = TIMEOUTS, is_pooled: bool = False, **options: Any
) -> RawConnection:
    """Open a single connection with these timeouts. `is_pooled`: the URL may lead to a pooler in transaction mode, so
    the session gets no settings. `options`: those of `asyncpg.connect`."""
    connection = await _connect(url, timeout=CONNECT_SECONDS, **options)
    try:
        await set_limits(connection, timeouts, is_pooled=is_pooled)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _connect(dsn: str | None = None, **options: Any) -> RawConnection:
    """Connect like `asyncpg.connect`, but to all servers of the URL at once if one of them must have a certain role.

    asyncpg tries one after the other, so that a server whose host is gone would take the time that the others need.
    """
    urls = database_url.of_each_server(dsn or "")
    if len(urls) == 1:
        return await asyncpg.connect(dsn, **options)
    tries = [asyncio.create_task(asyncpg.connect(each, **options)) for each in urls]
    connected: asyncio.Task[RawConnection] | None = None
    try:
        connected = await _first_success(tries)
        return connected.result()
    finally:
        for other in tries:
            if (
                other is not connected
                and not other.cancel()
                and not other.cancelled()
                and not other.exception()
            ):
                other.result().terminate()


async def _first_success(tries: Sequence[asyncio.Task[T]]) -> asyncio.Task[T]:
    """The first task that succeeds, or one that failed if all fail."""
    pending = set(tries)
    while True:
        ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        succeeded = [each for each in ended if each.exception() is None]
        if succeeded or not pending:
            return (succeeded or list(ended))[0]


async def init_connection(
    connection: Connection, timeouts: Timeouts = TIMEOUTS, *, is_pooled: bool = False
) -> None:
    """Set the limits of a new connection. Convert `jsonb` columns to and from Python values."""
    await set_limits(connection, timeouts, is_pooled=is_pooled)
    await connection.set_type_codec(
        "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog", format="text"
    )


async def _do_not_reset(_connection: Connection) -> None:
    """Replaces asyncpg's reset of a released connection, which takes a round trip each time. It is not needed: open
    transactions are rolled back already, and our code changes no other state of a connection."""


@asynccontextmanager
async def pool(
    url: str,
    *,
    max_size: int = 10,
    timeouts: Timeouts = TIMEOUTS,
    wait_seconds: float | None = None,
    is_pooled: bool = False,
) -> AsyncGenerator[Pool]:
    """A pool of at most `max_size` connections during the block, which are opened when they are first needed. If all
    are in use for `wait_seconds`, its users get Busy.

    `is_pooled`: the URL leads to a pooler in transaction mode such as PgBouncer, so that nothing may be kept in a
    session: neither settings nor prepared statements.
    """
    created = await BoundedPool(
        url, min_size=1, max_size=max_size, init=partial(init_connection, timeouts=timeouts, is_pooled=is_pooled),
        reset=_do_not_reset, command_timeout=30, connect=_connect, wait_seconds=wait_seconds,
        statement_cache_size=0 if is_pooled else STATEMENT_CACHE,
    )  # fmt: skip
    try:
        yield created
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(created.close(), 5)
        created.terminate()


_after_commit: ContextVar[list[Callable[[], None]] | None] = ContextVar("after_commit", default=None)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncGenerator[Connection]:
    """One connection in one transaction: committed on leaving, rolled back on any exception."""
    if isinstance(pool, _Enlisted):
        with pool.part() as connection:
            yield connection
    else:
        with _with_actions_after_commit():
            async with pool.acquire() as connection, connection.transaction():
                yield connection


@contextmanager
def _with_actions_after_commit() -> Generator[None]:
    """Call what `on_commit` was given during the block, unless the block raises."""
    outer, actions = _after_commit.get(), list[Callable[[], None]]()
    _after_commit.set(actions)
    try:
        yield
    finally:
        _after_commit.set(outer)
    for action in actions:
        try:
            action()
        except Exception:  # the transaction is committed, so its caller must not see a failure
            logger.exception("an action after a commit failed")


def on_commit(action: Callable[[], None]) -> None:
    """Call `action` once the transaction of the current asyncio task is committed: never if it is rolled back or its
    outcome is not known. Outside a transaction, call it now. For metrics, not for effects."""
    actions = _after_commit.get()
    if actions is None:
        action()
    else:
        actions.append(action)


async def now(pool: Pool) -> datetime:
    """The database's time, by which all deadlines are kept: the clocks of hosts differ."""
    return await pool.fetchval("SELECT clock_timestamp()")


@dataclass
class LargerTransaction:
    """A transaction of which the transactions of others become parts. `pool`: all that they do with it is done in this
    one. `last_statement` is run with the COMMIT, in one round trip; it has no parameters."""

    connection: Connection
    pool: Pool
    last_statement: str = ""


@asynccontextmanager
async def larger_transaction(pool: Pool) -> AsyncGenerator[LargerTransaction]:
    """A transaction in which functions that take a pool can run: committed on leaving, rolled back on any exception.

    Their own transactions are not savepoints, so an exception that leaves one of them rolls back everything.
    """
    with _with_actions_after_commit():
        async with pool.acquire() as connection:
            enlisted = _Enlisted(connection)
            larger = LargerTransaction(connection, enlisted)
            await connection.execute("BEGIN")
            try:
                yield larger
                if enlisted.has_failed:
                    raise RuntimeError("A part of the transaction failed, and its caller went on.")
                await connection.execute(f"{larger.last_statement or 'SELECT'}; COMMIT")
            except BaseException:
                await _roll_back(connection)
                raise


async def _roll_back(connection: Connection) -> None:
    try:
        await connection.execute("ROLLBACK")
    except Exception:  # the connection is broken, which rolls back, too; the caller raises the first error
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise


class _Enlisted(asyncpg.Pool):  # pyright: ignore[reportMissingTypeArgument]
    def __init__(self, connection: Connection) -> None:  # without the pool's own: it opens nothing
        self._connection = connection
        self.has_failed = False

    def acquire(self, *, timeout: float | None = None) -> Any:  # noqa: ARG002
        return nullcontext(self._connection)

    @contextmanager
    def part(self) -> Generator[Connection]:
        """The connection, for a transaction of a function that takes a pool."""
        try:
            yield self._connection
        except BaseException:
            self.has_failed = True
            raise


async def forbid_whole_tables(connection: Connection) -> None:
    """Have the planner use indexes until the transaction ends. It may expect the first row of an EXISTS or a LIMIT near
    the beginning of a table, where there is none, and then read all of it."""
    await connection.execute("SET LOCAL enable_seqscan = off")


def literal(value: str | bytes | None) -> str:
    """The value in SQL, for a statement that cannot have parameters. It is hexadecimal, so it needs no quoting."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return f"convert_from('\\x{value.encode().hex()}'::bytea, 'UTF8')"


async def expect_pause(pool: Pool, seconds: float) -> None:
    """If `pool` runs everything in one transaction, let the server wait that long for its next statement. Call it
    before something slow, and before the transaction locks a row that others need."""
    if isinstance(pool, _Enlisted):
        await pool.execute(f"SET LOCAL idle_in_transaction_session_timeout = {seconds * 1000:.0f}")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list, and whether there are more rows after it."""

    rows: Sequence[T]
    has_more: bool


async def fetch_page(
    pool: Connection | Pool, query: str, *arguments: Any, order: str, limit: int, of: Callable[[Record], T]
) -> Page[T]:
    """The first `limit` rows of `query` in this order, each converted by `of`. If they have more than `PAGE_BYTES`
    together, the page is shorter, but has at least one row."""
    statement = _PAGE.format(
        query=query, order=order, limit=f"${len(arguments) + 1}", most_bytes=f"${len(arguments) + 2}"
    )
    rows = await pool.fetch(statement, *arguments, limit + 1, PAGE_BYTES)
    page_rows = rows[:limit]
    return Page([of(row) for row in page_rows], bool(rows) and rows[0]["rows_found"] > len(page_rows))


# What the server or asyncpg reports when the server is temporarily unusable: unreachable, its disk or memory full, or a
# lock held by a host that may have vanished. asyncpg sometimes raises InternalClientError for a connection that was
# just killed. In a transaction it raises InvalidCachedStatementError once after a migration changed a table.
SERVER_FAILURES = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError,
                   asyncpg.CannotConnectNowError, asyncpg.InsufficientResourcesError, asyncpg.AdminShutdownError,
                   asyncpg.CrashShutdownError, asyncpg.PostgresIOError, asyncpg.LockNotAvailableError,
                   asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InvalidCachedStatementError)  # fmt: skip
UNREACHABLE = (OSError, TimeoutError, *SERVER_FAILURES)


async def retry_while_unavailable(action: Callable[[], Awaitable[T]], seconds: float = 30) -> T:
    """Call `action`, and repeat it while the database cannot be reached or has no room, for at most `seconds`.

    `action` must be idempotent: it may have been committed although its connection broke.
    """
    deadline = time.monotonic() + seconds
    cancels = _cancels()
    while True:
        try:
            return await action()
        except UNREACHABLE:
            if _cancels() > cancels:  # asyncpg raised an error of the connection in place of CancelledError
                raise asyncio.CancelledError from None
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RECONNECT_SECONDS)


def _cancels() -> int:
    """How often the current asyncio task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def listen(
    url: str, handlers: dict[str, Callable[[str], None]], on_answer: Callable[[], None] = lambda: None
) -> None:
    """Call `handlers[channel](payload)` for each notification, until cancelled.

    It uses a connection of its own and reconnects when that is lost. Notifications that are sent meanwhile are lost, so
    every caller must also poll. After each connect, every handler is called with `""`. `on_answer` is called every 5 s
    while the database answers.
    """
    cancels = _cancels()
    while _cancels() == cancels:
        with suppress(asyncpg.PostgresError, *UNREACHABLE):
            connection = await connect(url)
            try:
                for channel, handler in handlers.items():
                    await connection.add_listener(channel, payload_only(handler))
                    handler("")
                while True:
                    on_answer()
                    await asyncio.sleep(5)
                    await connection.execute("SELECT 1", timeout=5)
            finally:
                connection.terminate()
        await asyncio.sleep(RECONNECT_SECONDS)
    raise asyncio.CancelledError


def payload_only(handler: Callable[[str], None]) -> Callable[..., None]:
    """`handler` as a listener of asyncpg."""

    def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        handler(str(payload))

    return on_notification
