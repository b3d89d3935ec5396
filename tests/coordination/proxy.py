"""A proxy in front of PostgreSQL that fails at a chosen moment, such as at the COMMIT of one transaction.

It reads the frontend protocol, so it knows which statements a transaction has run when its COMMIT arrives. Both sides
are Unix sockets: no connection begins with an SSL request.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Failure = Literal["reply lost", "hung", "cut before", "held"]
READ_BYTES = 65536


@dataclass(frozen=True)
class Statement:
    """A statement as the client executed it: its text, and its parameters in wire format."""

    sql: str
    parameters: tuple[bytes | None, ...] = ()


@dataclass(frozen=True)
class TransactionPattern:
    """Matches a transaction that runs a statement with this text and these parameters among its own."""

    sql: str
    parameters: tuple[str, ...] = ()

    def matches(self, transaction: Sequence[Statement]) -> bool:
        return any(
            self.sql in statement.sql and all(p.encode() in statement.parameters for p in self.parameters)
            for statement in transaction
        )


@dataclass
class Trap:
    """One failure at the end of the first transaction that matches `pattern`."""

    pattern: TransactionPattern
    failure: Failure
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_sprung(self, seconds: float = 60) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.sprung.wait()
        except TimeoutError:
            raise AssertionError(f"no transaction matched {self.pattern}") from None


class Proxy:
    """Listens in `folder`, forwards to the server behind `target`; `url` leads through it."""

    def __init__(self, target: Path, folder: Path) -> None:
        self.target = target
        self.round_trips = 0
        self.delay_seconds = 0.0  # before each message of the client
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._traps: list[Trap] = []
        self._listens_at = folder / target.name
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], Link] = {}

    def trap(self, pattern: TransactionPattern, failure: Failure) -> Trap:
        """`reply lost`: the server commits, then the connection breaks without a reply. `hung`: the same, but the
        connection stays open in silence. `cut before`: the connection breaks and the server never sees the COMMIT.
        `held`: the COMMIT waits until `released`."""
        trap = Trap(pattern, failure)
        self._traps.append(trap)
        return trap

    def take_trap(self, transaction: Sequence[Statement]) -> Trap | None:
        """Remove and return the trap for this transaction."""
        for trap in self._traps:
            if trap.pattern.matches(transaction):
                self._traps.remove(trap)
                return trap
        return None

    def drop_packets(self) -> None:
        """From now on nothing is forwarded and nothing is closed, as behind a firewall that drops packets."""
        self.flowing.clear()

    def forward_again(self) -> None:
        """Forward again; dropped data arrives late, as after TCP retransmissions."""
        self.flowing.set()

    async def open(self) -> None:
        """Listen. Can be called again after `cut`."""
        self._server = await asyncio.start_unix_server(self._serve, self._listens_at)

    async def cut(self) -> None:
        """Break all connections and refuse new ones."""
        assert self._server is not None
        self._server.close()
        self._listens_at.unlink(missing_ok=True)
        for link in list(self._links.values()):
            link.abort()
        while self._links:
            await asyncio.wait(list(self._links))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = asyncio.current_task()
        assert served is not None
        try:
            server = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.transport.abort()
            return
        link = self._links[served] = Link(self, (reader, writer), server)
        try:
            await link.run()
        finally:
            del self._links[served]


Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: Side, server: Side) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._prepared: dict[bytes, str] = {}
        self._executed: list[Statement] = []  # in the transaction that is open
        self._is_in_transaction = False
        self._swallowing: Trap | None = None

    async def run(self) -> None:
        """Forward until one side closes."""
        directions = [asyncio.create_task(self._to_server()), asyncio.create_task(self._to_client())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.abort()
            for task in directions:
                task.cancel()
            results = await asyncio.gather(*directions, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, OSError | EOFError):
                raise error

    def abort(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _to_server(self) -> None:
        reader, writer = self._client[0], self._server[1]
        size = await reader.readexactly(4)
        await self._forward(writer, size + await reader.readexactly(int.from_bytes(size) - 4))
        while True:
            kind, frame = await _frame(reader)
            if self._ends_transaction(kind, frame[5:]):
                trap = self._proxy.take_trap(self._executed)
                self._executed = []
                if trap is not None and not await self._spring(trap):
                    return
            await self._forward(writer, frame)

    async def _to_client(self) -> None:
        reader, writer = self._server[0], self._client[1]
        while True:
            kind, frame = await _frame(reader)
            self._proxy.round_trips += kind == b"Z"  # ready for the next query
            if self._swallowing is None:
                await self._forward(writer, frame)
            elif kind == b"Z":  # ready for the next query: the server has committed
                self._swallowing.sprung.set()
                if self._swallowing.failure == "reply lost":
                    return

    async def _forward(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        await self._proxy.flowing.wait()
        if self._proxy.delay_seconds and writer is self._server[1]:
            await asyncio.sleep(self._proxy.delay_seconds)
        writer.write(frame)
        await writer.drain()

    async def _spring(self, trap: Trap) -> bool:
        """Apply the failure; returns whether to forward the COMMIT."""
        if trap.failure in ("reply lost", "hung"):
            self._swallowing = trap
            return True
        trap.sprung.set()
        if trap.failure == "held":
            await trap.released.wait()
        return trap.failure == "held"

    def _ends_transaction(self, kind: bytes, body: bytes) -> bool:
        """Record what the client executes; returns whether this message commits it."""
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._prepared[name] = sql.decode()
        elif kind == b"B":
            self._executed.append(_bound(body, self._prepared))
        elif kind == b"Q":
            return self._simple_query(body[:-1].decode())
        # Outside of BEGIN … COMMIT, Sync commits what was executed before it.
        return kind == b"S" and not self._is_in_transaction and bool(self._executed)

    def _simple_query(self, sql: str) -> bool:
        keyword = sql.partition(" ")[0].rstrip(";").upper()
        if keyword == "BEGIN" or (keyword == "ROLLBACK" and " TO " not in sql.upper()):
            self._executed, self._is_in_transaction = [], keyword == "BEGIN"
            return False
        if keyword == "COMMIT":
            self._is_in_transaction = False
            return True
        self._executed.append(Statement(sql))
        return not self._is_in_transaction


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A message's type, and all of its bytes."""
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:]) - 4)


def _bound(body: bytes, prepared: dict[bytes, str]) -> Statement:
    """The statement that a Bind message gives its parameters."""
    _portal, name, rest = body.split(b"\0", 2)
    formats = int.from_bytes(rest[:2])
    rest = rest[2 + 2 * formats :]
    parameters: list[bytes | None] = []
    count, rest = int.from_bytes(rest[:2]), rest[2:]
    for _ in range(count):
        size, rest = int.from_bytes(rest[:4], signed=True), rest[4:]
        parameters.append(None if size < 0 else rest[:size])
        rest = rest[max(0, size) :]
    return Statement(prepared.get(name, ""), tuple(parameters))


@contextlib.asynccontextmanager
async def proxied(target: Path, folder: Path) -> AsyncIterator[Proxy]:
    """A proxy that listens while the block lasts."""
    proxy = Proxy(target, folder)
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.forward_again()
        await proxy.cut()
