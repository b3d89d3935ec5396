"""The time limits of a database session, in the server and on the socket."""

import socket
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timeouts:
    """The timeouts of a database session, in seconds.

    A host that vanishes in the middle of a transaction would otherwise hold its row locks until TCP gives up, after two
    hours. In the server: `idle_in_transaction` limits the time between two statements of a transaction, and `lock` a
    wait for a lock. On both sides: a peer that acknowledges no bytes and answers no keepalives for `silence` is gone.
    """

    idle_in_transaction: float = 10.0
    lock: float | None = 20.0
    silence: float = 10.0

    @property
    def probe(self) -> int:
        """Seconds between two keepalives: so many that some are missed within `silence`."""
        return max(1, round(self.silence / 4))

    @property
    def statement(self) -> str:
        """The SQL that sets the limits in a session. On Unix sockets the server ignores those of TCP."""
        values = {
            "idle_in_transaction_session_timeout": f"{self.idle_in_transaction * 1000:.0f}",
            "tcp_keepalives_idle": f"{self.probe}",
            "tcp_keepalives_interval": f"{self.probe}",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": f"{self.silence * 1000:.0f}",
        }
        if self.lock is not None:
            values["lock_timeout"] = f"{self.lock * 1000:.0f}"
        return "; ".join(f"SET {name} = {value}" for name, value in values.items())


TIMEOUTS = Timeouts()
WITHOUT_LOCK_TIMEOUT = Timeouts(lock=None)  # for a session that must wait its turn, such as a migration


async def set_limits(connection: Any, timeouts: Timeouts = TIMEOUTS, *, is_pooled: bool = False) -> None:
    """Set the limits of a new asyncpg connection on both sides; `is_pooled`: on our side only, because a pooler in
    transaction mode changes the session behind the connection. Its `connect_query` sets the server's limits."""
    if not is_pooled:
        await connection.execute(timeouts.statement)
    transport: Any = getattr(connection, "_transport")  # noqa: B009 - asyncpg has no other way to the socket
    own = transport.get_extra_info("socket")
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, timeouts.probe)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, timeouts.probe)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(timeouts.silence * 1000))
