"""Measures by how much this host's clock differs from the database server's."""

import time
from dataclasses import dataclass

from agentcontainer.db import Pool

MAX_SKEW_SECONDS = 5.0
_SAMPLES = 3


@dataclass(frozen=True)
class Skew:
    """`seconds`: this host's clock minus the server's. `error_seconds`: how far off the measurement may be."""

    seconds: float
    error_seconds: float

    @property
    def fault(self) -> str | None:
        """A sentence if the clocks certainly differ by more than `MAX_SKEW_SECONDS`."""
        if abs(self.seconds) - self.error_seconds <= MAX_SKEW_SECONDS:
            return None
        direction = "ahead of" if self.seconds > 0 else "behind"
        return (
            f"The clock of this host is {abs(self.seconds):.1f} s {direction} that of the database server; "
            f"{MAX_SKEW_SECONDS:.0f} s are allowed. Run an NTP client on both."
        )


async def measure(pool: Pool) -> Skew:
    """Ask the server for its time, and take the sample with the shortest round trip.

    The server is assumed to answer in the middle of the round trip.
    """
    samples: list[Skew] = []
    async with pool.acquire() as connection:
        for _ in range(_SAMPLES):
            before, started = time.time(), time.monotonic()
            server = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
            half = (time.monotonic() - started) / 2
            samples.append(Skew(before + half - server, half))
    return min(samples, key=lambda sample: sample.error_seconds)
