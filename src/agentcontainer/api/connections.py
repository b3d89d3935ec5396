"""Bounds the connections of an API process, so that it always has file descriptors left for requests with a key.

A connection is silent until the head of a request has arrived, and again after an answer to a request without a key. If
there are too many silent connections, one is closed: the oldest of the address with the most of them. So a client that
sends its request at once is served. A connection that stays silent or stalled for too long is closed, too.
"""

import asyncio
import ipaddress
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentcontainer import open_files
from agentcontainer.errors import RateLimited
from agentcontainer.repetition import Repetition

MAX_CONNECTIONS = 10_000
RESERVED_FILES = 150  # the database, the log, the object store
FILES_PER_CONNECTION = 2  # its socket, and a file that is received or sent
CHECK_SECONDS = 1.0  # between two searches for connections that are silent for too long
HEAD_SECONDS = 15.0  # for the line and headers of a request
BODY_SECONDS = 60.0  # without a byte of the body
STALL_SECONDS = 60.0  # without a byte of the response being accepted
RETRY_SECONDS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """How many connections there may be: in total, silent ones in total and of one address, those of one account, and
    event streams. `backlog`: how many are accepted at once."""

    all: int
    silent: int
    of_address: int
    of_account: int
    streams: int
    backlog: int

    @classmethod
    def fitting(cls, files: int) -> "Bounds":
        """The bounds for a process that may have `files` files open."""
        backlog = max(
            16, min(512, files // 64)
        )  # connections that were accepted at once and of which nothing was read yet
        limit = max(16, min(MAX_CONNECTIONS, (files - RESERVED_FILES - backlog) // FILES_PER_CONNECTION))
        return cls(limit, limit // 2, limit // 4, limit // 4, limit // 2, backlog)


class Connections:
    """The open connections of this process."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds.fitting(open_files.limit())
        self._all: set[Connection] = set()
        self._silent: dict[str, dict[Connection, None]] = {}  # by address; the oldest first
        self._silent_count = 0
        self._of_account = Counter[str]()
        self._overloads = Repetition()

    def add(self, connection: "Connection") -> None:
        """Record a new connection, and close another one if there are too many."""
        self._all.add(connection)
        self.wait_for_request(connection)

    def wait_for_request(self, connection: "Connection") -> None:
        """Record that a connection that is not authenticated waits for a request."""
        if connection not in self._all:
            return
        silent = self._silent.setdefault(connection.address, {})
        self._silent_count += connection not in silent
        silent[connection] = None
        if len(silent) > self.bounds.of_address:
            self._close_oldest(connection.address)
        elif self._silent_count > self.bounds.silent or len(self._all) > self.bounds.all:
            self._close_oldest(max(self._silent, key=lambda address: len(self._silent[address])))

    def begin_request(self, connection: "Connection") -> None:
        """Record that the head of a request has arrived. Idempotent."""
        silent = self._silent.get(connection.address, {})
        if connection in silent:
            del silent[connection]
            self._silent_count -= 1
        if not silent:
            self._silent.pop(connection.address, None)

    def remove(self, connection: "Connection") -> None:
        """Record that a connection is closed. Idempotent."""
        self._all.discard(connection)
        self.begin_request(connection)
        self._set_account(connection, None)

    def authenticate(self, connection: "Connection", account_id: str | None) -> None:
        """Record that a request on this connection is authenticated. `account_id`: None if it has a signature instead
        of a key.

        Raises:
            RateLimited: the account has too many connections.
        """
        if connection not in self._all:  # it was closed while its request runs
            return
        if connection.account_id != account_id and account_id is not None:
            if self._of_account[account_id] >= self.bounds.of_account:
                raise RateLimited(
                    f"An account may have {self.bounds.of_account} connections at once. Close others first.",
                    RETRY_SECONDS,
                )
            self._set_account(connection, account_id)
        connection.is_authenticated = True

    async def close_silent(self) -> None:
        """Close the connections on which nothing happened for too long."""
        now = asyncio.get_running_loop().time()
        for connection in [connection for connection in self._all if connection.is_overdue(now)]:
            connection.cut()

    def _close_oldest(self, address: str) -> None:
        oldest = next(iter(self._silent[address]))
        if (left_out := self._overloads.admit(None)) is not None:
            logger.warning(
                "overload: %d connections are open; closing those that send no request, most of them "
                "from %s (%d were closed since the last report)", len(self._all), address, left_out + 1,
            )  # fmt: skip
        oldest.cut()

    def _set_account(self, connection: "Connection", account_id: str | None) -> None:
        if connection.account_id is not None:
            self._of_account[connection.account_id] -= 1
            if not self._of_account[connection.account_id]:
                del self._of_account[connection.account_id]
        connection.account_id = account_id
        if account_id is not None:
            self._of_account[account_id] += 1


class Connection(H11Protocol):
    """One connection. The h11 parser limits the size of headers. Requests find it as `request.state.connection`."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.account_id: str | None = None
        self.is_authenticated = False
        self.address = ""
        self._connections = connections
        self._waiting_since = 0.0
        self._heard_at = 0.0
        self._sent_at = 0.0
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._waiting_since = self._heard_at = self._sent_at = self.loop.time()
        self.address = network_of(self.client[0] if self.client else "")
        self.app_state = {"transport": transport, "connection": self}
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._connections.begin_request(self)

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()
        if not self.is_authenticated and self.conn.their_state is h11.IDLE:
            self._connections.wait_for_request(self)

    def pause_writing(self) -> None:
        self._sent_at = self.loop.time()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        super().pause_writing()

    def authenticate(self, account_id: str | None) -> None:
        """As `Connections.authenticate`."""
        self._connections.authenticate(self, account_id)

    def cut(self) -> None:
        """Close the connection at once."""
        self._connections.remove(self)
        self.transport.abort()

    def is_overdue(self, now: float) -> bool:
        """Whether the client has been silent, or has accepted nothing, for too long. Call it every few seconds."""
        if self.flow.write_paused:
            return self._is_stalled(now)
        if self.conn.their_state is h11.IDLE:
            return now - self._waiting_since > HEAD_SECONDS
        if self.conn.their_state is not h11.SEND_BODY:
            return False
        if self.flow.read_paused:  # we are slow, not the client
            self._heard_at = now
        return now - self._heard_at > BODY_SECONDS

    def _is_stalled(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent_bytes:
            self._unsent_bytes, self._sent_at = unsent, now
        return now - self._sent_at > STALL_SECONDS


def network_of(address: str) -> str:
    """The address. For IPv6 its /64 network, because one host can use all addresses of it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


def protocol_class(connections: Connections) -> type[asyncio.Protocol]:
    """What uvicorn calls to make the protocol of a new connection."""

    def make(**options: Any) -> Connection:
        return Connection(connections, **options)

    return cast("type[asyncio.Protocol]", make)
