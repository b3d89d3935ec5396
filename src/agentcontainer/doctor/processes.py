"""Checks of the other hosts, as far as the database shows them: runners, regions, versions, open transactions."""

from collections.abc import AsyncGenerator

from agentcontainer.doctor.database import Database
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.domain.installation.clock import MAX_SKEW_SECONDS
from agentcontainer.domain.processes import store
from agentcontainer.domain.processes.model import regions_without_runner
from agentcontainer.domain.processes.service import OPEN_TOO_LONG


async def dead_runners(database: Database) -> AsyncGenerator[Finding]:
    """Runners that still have tasks and have not been heard of for so long that their tasks should run elsewhere."""
    patience = 2 * database.settings.runner_lost_after_seconds
    for runner in await store.runners(database.pool):
        if runner.claims and not runner.is_alive(patience):
            yield Finding(
                f"runner not heard of for {runner.silent_seconds:.0f} s that still has {runner.claims} tasks",
                f"{runner.label} ({runner.id}) on {runner.host}",
                "start an API or a runner, which give its tasks to others; if one runs, its log says why not",
            )


async def regions(database: Database) -> AsyncGenerator[Finding]:
    """Regions whose tasks wait although no living runner takes them. A notice while no process runs at all."""
    lost_after = database.settings.runner_lost_after_seconds
    queues, runners = await store.queues(database.pool), await store.runners(database.pool)
    is_running = any(process.is_alive for process in await store.api_processes(database.pool))
    is_running |= any(runner.is_alive(lost_after) for runner in runners)
    for queue in regions_without_runner(queues, runners, lost_after):
        yield Finding(
            f"region without a runner: {queue.waiting} tasks wait, the oldest for {queue.oldest_seconds:.0f} s",
            queue.region,
            f"start a runner with --region {queue.region}, or cancel the tasks",
            is_notice=not is_running,
        )


async def clocks(database: Database) -> AsyncGenerator[Finding]:
    """Living runners whose clock differs too much from the database's."""
    for runner in await store.runners(database.pool):
        skew = runner.clock_skew_seconds or 0.0
        if runner.is_alive(database.settings.runner_lost_after_seconds) and abs(skew) > MAX_SKEW_SECONDS:
            yield Finding(
                f"clock that differs by {abs(skew):.1f} s from the database's",
                f"{runner.label} on {runner.host}",
                "run an NTP client there and on the database's host",
            )


async def versions(database: Database) -> AsyncGenerator[Finding]:
    """Processes of several versions, which is right during an upgrade only."""
    lost_after, hosts = database.settings.runner_lost_after_seconds, dict[str, set[str]]()
    for process in await store.api_processes(database.pool):
        if process.is_alive:
            hosts.setdefault(process.version, set()).add(f"API on {process.host}")
    for runner in await store.runners(database.pool):
        if runner.is_alive(lost_after):
            hosts.setdefault(runner.version or "unknown", set()).add(f"runner {runner.label}")
    if len(hosts) > 1:
        where = "; ".join(
            f"{version}: {', '.join(sorted(names))}" for version, names in sorted(hosts.items())
        )
        yield Finding("processes of several versions", where, "restart the older ones", is_notice=True)


async def open_transactions(database: Database) -> AsyncGenerator[Finding]:
    """Transactions that are idle for longer than any of ours should be: they may hold locks."""
    for transaction in await store.open_transactions(database.pool, 2 * OPEN_TOO_LONG):
        yield Finding(
            f"transaction that has been idle for {transaction.seconds:.0f} s",
            f"{transaction.client} {transaction.application}".strip(),
            "find the program and end its session: other processes may wait for its locks",
        )


PROCESS_CHECKS: tuple[Check[Database], ...] = (
    Check("dead runners", dead_runners),
    Check("regions", regions),
    Check("clocks of runners", clocks),
    Check("versions", versions),
    Check("open transactions", open_transactions),
)
