"""The table of faults: what clients saw of each, how soon work went on, and that none was lost or done twice."""

import time
from collections.abc import Callable

import pytest

from tests.acceptance.bed import finish, script

from .faults import CLOCK_AHEAD, FAULTS, Fault
from .lab import RUNNERS, Lab
from .workload import EU, Probe, Verdict, Workload

WRITING_SECONDS = 14
COLUMNS = (46, 10, 10, 4, 4, 4, 4)
Record = Callable[[str, object], None]
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_no_work_is_lost_or_done_twice(lab: Lab, fault: Fault, record_property: Record) -> None:
    judge(lab, fault, record_property)


def test_no_work_is_lost_by_a_wrong_clock(lab: Lab, record_property: Record) -> None:
    for name in RUNNERS:
        lab.restart(name, variables=lab.with_clock(name))
    judge(lab, CLOCK_AHEAD, record_property)
    for name in RUNNERS:
        lab.restart(name)


def judge(lab: Lab, fault: Fault, record_property: Record) -> None:
    """Let the fault happen to a runner with agents that write, and check what became of all tasks."""
    client = lab.account()
    work = Workload(lab, client, count=6, seconds=WRITING_SECONDS)
    victim = work.hosts[work.task_ids[0]]
    probe = Probe(client)
    began_at = time.time()
    with fault.begin(lab, victim):
        time.sleep(min(3, fault.seconds / 2))
        during = client.dispatch(script({"bash": "echo a > out.txt"}, finish("out.txt")))
        time.sleep(max(0.0, began_at + fault.seconds - time.time()))
    takes_work = seconds_until_used(lab, victim, time.time())
    verdict = work.judge(began_at, 240)
    assert client.wait(during)["status"] == "finished"
    assert client.outputs(during) == {"out.txt": b"a\n"}
    probe.close()
    record_property("lab_fault", row(fault.name, verdict, takes_work) + f"  {probe}")
    assert verdict.lost == []
    assert [text for text in verdict.duplicated if seconds_of(text) > fault.tolerated_overlap] == []
    assert verdict.ledger == []
    if not (fault.loses_runner or fault.hibernates):
        assert verdict.run_again == 0
    if fault.is_unseen:
        assert probe.errors == {}, str(probe)


def seconds_until_used(lab: Lab, victim: str, since: float) -> float:
    """Dispatch short tasks until one runs on this host."""
    client = lab.account()
    steps = script({"bash": "sleep 1"}, finish())
    region = EU if victim == "r3" else {}
    task_ids: list[str] = []
    deadline = time.monotonic() + 120
    while (first_seen := lab.observer.first_seen_on(victim, since)) is None:
        assert time.monotonic() < deadline, f"{victim} takes no work"
        task_ids.append(client.dispatch(steps, overrides=region))
        time.sleep(0.3)
    for task_id in task_ids:
        client.wait(task_id)
    return first_seen - since


def seconds_of(overlap: str) -> float:
    return float(overlap.rsplit(" ", 2)[-2])


def row(fault: str, verdict: Verdict, takes_work: float) -> str:
    restarted = "-" if verdict.restarted_after is None else f"{verdict.restarted_after:.1f} s"
    counts = verdict.run_again, len(verdict.lost), len(verdict.duplicated), len(verdict.ledger)
    cells = (fault, restarted, f"{takes_work:.1f} s", *counts)
    return "".join(str(cell).ljust(width) for cell, width in zip(cells, COLUMNS, strict=True))
