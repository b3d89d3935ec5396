"""Reads the state of the whole installation: for `agentcontainer status`, and later for other readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from agentcontainer.db import Pool
from agentcontainer.domain.installation.clock import MAX_SKEW_SECONDS
from agentcontainer.domain.processes import store
from agentcontainer.domain.processes.model import (
    AccountQueue,
    ApiProcess,
    OpenTransaction,
    RegionQueue,
    Runner,
    regions_without_runner,
)

MAX_ACCOUNTS = 20
OPEN_TOO_LONG = timedelta(seconds=5)
_SERVER = """
SELECT (SELECT max(version_num) FROM alembic_version) AS schema, current_setting('server_version') AS postgres,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int AS max_connections,
    EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL) AS is_paused
"""


@dataclass(frozen=True)
class State:
    """An installation as its database has it. `accounts`: those with most waiting tasks."""

    schema: str
    postgres: str
    connections: int
    max_connections: int
    is_paused: bool
    api_processes: Sequence[ApiProcess]
    runners: Sequence[Runner]
    tasks: dict[str, int]
    queues: Sequence[RegionQueue]
    accounts: Sequence[AccountQueue]
    open_transactions: Sequence[OpenTransaction]

    def problems(self, lost_after_seconds: float) -> list[str]:
        """What an operator should look at, as sentences."""
        paused = "The queue is paused: no runner begins a task until `agentcontainer admin resume`."
        return [
            *([paused] if self.is_paused else []),
            *(
                f"Runner {runner.label} is drained: it takes no task until `agentcontainer admin undrain`."
                for runner in self.runners
                if runner.is_draining and runner.is_alive(lost_after_seconds)
            ),
            *(
                f"No runner takes tasks of region {queue.region}: {queue.waiting} wait, the oldest for "
                f"{queue.oldest_seconds:.0f} s. Start a runner with --region {queue.region}."
                for queue in regions_without_runner(self.queues, self.runners, lost_after_seconds)
            ),
            *(
                f"Runner {runner.label} has not been heard of for {runner.silent_seconds:.0f} s and still has "
                f"{runner.claims} tasks. A living API or runner requeues them within seconds."
                for runner in self.runners
                if not runner.is_alive(lost_after_seconds) and runner.claims
            ),
            *(
                f"A transaction from {transaction.client} has been idle for {transaction.seconds:.0f} s and may hold "
                "locks. The database ends it after 10 s, unless another program opened it."
                for transaction in self.open_transactions
            ),
            *(
                f"The clock of runner {runner.label} differs by {abs(runner.clock_skew_seconds):.1f} s from the "
                "database's. Run an NTP client on both hosts."
                for runner in self.runners
                if runner.is_alive(lost_after_seconds)
                and abs(runner.clock_skew_seconds or 0) > MAX_SKEW_SECONDS
                and runner.clock_skew_seconds is not None
            ),
            *_of_versions(self.api_processes, self.runners, lost_after_seconds),
        ]


def _of_versions(
    api_processes: Sequence[ApiProcess], runners: Sequence[Runner], lost_after_seconds: float
) -> list[str]:
    versions = {process.version for process in api_processes if process.is_alive}
    versions |= {runner.version or "unknown" for runner in runners if runner.is_alive(lost_after_seconds)}
    if len(versions) < 2:
        return []
    return [f"Processes of several versions run: {', '.join(sorted(versions))}. Restart the older ones."]


async def read(pool: Pool) -> State:
    """The state of the installation now."""
    row = await pool.fetchrow(_SERVER)
    assert row is not None
    return State(
        **dict(row),
        api_processes=await store.api_processes(pool),
        runners=await store.runners(pool),
        tasks=await store.live_tasks(pool),
        queues=await store.queues(pool),
        accounts=await store.account_queues(pool, MAX_ACCOUNTS),
        open_transactions=await store.open_transactions(pool, OPEN_TOO_LONG),
    )
