"""A runner keeps its lease through short outages and at a slow database, and stops its attempts after long ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from agentcontainer.db import RawConnection
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.tasks import creation, runners
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.domain.tasks.state import Status
from agentcontainer.runner.lease import HEARTBEAT_SECONDS, boottime, keep_lease
from tests import claims
from tests.coordination.bed import AGENT, Bed, finish, script
from tests.coordination.proxy import Proxy


@dataclass
class Lease:
    """A lease that is kept through a proxy."""

    proxy: Proxy
    renewals: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)

    async def until_renewed(self) -> None:
        count = len(self.renewals)
        async with asyncio.timeout(20):
            while len(self.renewals) == count:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def kept(bed: Bed, number: int, lost_after_seconds: float) -> AsyncIterator[Lease]:
    runner_id = f"rnr_{number}"
    await runners.register(bed.pool, runner_id, "any", "host", 1)
    async with bed.behind_proxy() as (proxy, _, url):
        lease = Lease(proxy)

        async def beat(connection: RawConnection) -> None:
            await runners.beat(connection, runner_id)

        keeping = asyncio.create_task(
            keep_lease(
                url, beat, lost_after_seconds, lambda: lease.stops.append(time.monotonic()),
                lambda _: lease.renewals.append(time.monotonic()),
            )
        )  # fmt: skip
        await lease.until_renewed()
        try:
            yield lease
        finally:
            proxy.forward_again()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.parametrize(
    ("lost_after_seconds", "outage_seconds"), [(5, 1.5), pytest.param(10, 6, marks=pytest.mark.long)]
)
async def test_a_lease_outlasts_a_short_outage(
    bed: Bed, lost_after_seconds: float, outage_seconds: float
) -> None:
    """Ten leases, whose outages begin at different times between two heartbeats."""

    async def lose_the_database(lease: Lease, delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        lease.proxy.drop_packets()
        await asyncio.sleep(outage_seconds)
        lease.proxy.forward_again()
        await lease.until_renewed()

    async with contextlib.AsyncExitStack() as stack:
        leases = [
            await stack.enter_async_context(kept(bed, number, lost_after_seconds)) for number in range(10)
        ]
        await asyncio.gather(*(lose_the_database(lease, number / 10) for number, lease in enumerate(leases)))
        assert [lease.stops for lease in leases] == [[]] * 10


async def test_attempts_stop_before_the_lease_ends(bed: Bed) -> None:
    async with kept(bed, 1, 5) as lease:
        lease.proxy.drop_packets()
        async with asyncio.timeout(20):
            while not lease.stops:
                await asyncio.sleep(0.01)
        assert lease.stops[0] - lease.renewals[-1] < 4.6


async def test_a_slow_database_is_no_outage(bed: Bed) -> None:
    async with kept(bed, 1, 5) as lease:
        lease.proxy.delay_seconds = 0.2  # of each message, so that a heartbeat takes longer than a short try
        for _ in range(3):
            await lease.until_renewed()
        assert lease.stops == []


async def test_a_claim_without_an_attempt_is_given_back_at_a_slow_database(bed: Bed) -> None:
    """The reply to the claim was lost, and the database answers so slowly that giving back takes long."""
    in_the_eu = Dispatch(instructions=script(finish()), overrides=Overrides(runtime_region="eu"))
    async with bed.runner() as runner:  # it does not take the tasks of the EU
        task = await creation.dispatch(bed.pool, bed.settings, bed.vault, bed.account_id, AGENT, in_the_eu)
        async with bed.pool.acquire() as connection:
            assert await claims.claim(connection, task.id, runner.id)
        runner.proxy.delay_seconds = 0.06
        assert (await bed.until(task.id, Status.PENDING)).tries == 0


async def test_the_watchdog_kills_sandboxes_before_the_lease_ends(bed: Bed) -> None:
    lost_after_seconds = 5.0
    bed.configure(runner_lost_after_seconds=lost_after_seconds)
    async with bed.runner() as runner:
        async with asyncio.timeout(20):
            while len(runner.kill_times) < 3:
                await asyncio.sleep(0.01)
        remaining = runner.kill_times[-1] - boottime()
        assert lost_after_seconds - HEARTBEAT_SECONDS - 1 < remaining < lost_after_seconds
