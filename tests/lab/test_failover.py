"""PostgreSQL's primary loses power, and its standby is promoted: APIs and runners find it by their URL of both."""

import time

import pytest

from .database import Database
from .lab import Lab, wait_until
from .test_faults import Record, row
from .workload import Probe, Workload

pytestmark = [pytest.mark.long, pytest.mark.timeout(300), pytest.mark.xdist_group("failover")]
PROMOTED_AFTER_SECONDS = 2.0


class ReplicatedLab(Lab):
    """Its PostgreSQL has a standby, without which no transaction commits."""

    def __init__(self) -> None:
        super().__init__()
        self.standby = Database(self._host("db2"), self.authority)

    @property
    def database_url(self) -> str:
        return self.database.url(self.standby)

    async def migrate(self) -> None:
        await super().migrate()
        self.standby.host = self.add_host("db2")
        self.standby.copy_of(self.database)
        self.standby.start()
        await self.standby.wait_ready()
        await self.database.wait_for_standby()

    def fail_over(self) -> None:
        self.network.power_off(self.database.host)
        time.sleep(PROMOTED_AFTER_SECONDS)
        self.standby.promote()
        self.database = self.standby


def test_no_work_is_lost_by_a_failover(record_property: Record) -> None:
    with ReplicatedLab() as lab, lab.network.entered():
        client = lab.account()
        work = Workload(lab, client, count=6, seconds=14)
        probe = Probe(client)
        began_at = time.time()
        lab.fail_over()
        wait_until(client.is_answered, "no API finds the standby")
        during = Workload(lab, client, count=1, seconds=1)
        answered_after = time.time() - began_at
        verdict = work.judge(began_at)
        probe.close()
        record_property(
            "lab_fault", row("PostgreSQL fails over to its standby", verdict, answered_after) + f"  {probe}"
        )
        assert during.judge(began_at).lost == []
        assert (verdict.lost, verdict.duplicated, verdict.ledger) == ([], [], [])
