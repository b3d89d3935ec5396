"""kill -9 of each process at each crash point: the task ends correctly, the ledger adds up, no sandbox is left."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest

from agentcontainer import crash
from agentcontainer_client import Conflict, ConnectionFailed, ServerFault

from .client import STANDARD
from .conftest import Client, Platform, finish, script

pytestmark = pytest.mark.xdist_group("crash")  # all tests share one platform

T = TypeVar("T")

PARTS = ("runner", "api", "postgres")
WITHIN_SECONDS = 120  # usually about ten
# tests/coordination cuts the connection to the database at each of the runner's COMMITs, in every run.
SHORT = ("dispatch", "outputs_stored")
IN_API = ("dispatch", "dispatched", "wake", "woken", "clean_up")


def cells() -> Iterator[Any]:
    """Every crash point with every process; the short run has some points, with the process that reaches them."""
    for point in get_args(crash.Point):
        for part in PARTS:
            is_own = part == ("api" if point in IN_API else "runner")
            is_short = (is_own and point in SHORT) or (point == "hibernate" and part == "postgres")
            marks = () if is_short else (pytest.mark.long,)
            yield pytest.param(point, part, marks=marks, id=f"{point}-{part}")


SLEEPS = ("hibernate", "wake", "woken", "checkpoint_stored", "restore")
WORK = {"bash": "echo one >> work.txt; cp work.txt out.txt"}
AWAY = {"error": 529, "times": 2}
# After this, the next request and the one kept free beside it would exceed the budget.
FILL = {"bash": "head -c 40000 /dev/zero | tr '\\0' x; sleep 0.3"}
PAUSING = {"budget": {"maxTokens": 40_000, "onReached": "pause"}}
NAP = {"bash": 'hibernate --message "Waiting." --for 1s'}


@pytest.fixture(scope="module")
def crashing(scripted_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Path]]:
    """One platform for the whole matrix; it must have recovered after each cell."""
    folder = tmp_path_factory.mktemp("crash")
    platform = Platform(
        scripted_url, capacity="2", runner_lost_after_seconds="5", provider_patience_seconds="0.1"
    )
    platform.environment[crash.VARIABLE] = str(folder)
    try:
        platform.start()
        yield platform, folder
    finally:
        platform.close()


@pytest.mark.parametrize(("point", "part"), list(cells()))
def test_the_task_ends_correctly_when_a_part_is_killed(
    crashing: tuple[Platform, Path], point: str, part: str, record_property: Callable[[str, object], None]
) -> None:
    platform, folder = crashing
    platform.wait_ready()
    client = platform.account()
    armed = folder / point
    victim = platform.pid(part)
    if point == "clean_up":  # a process cleans up when it has become the leader
        platform.kill("api")
        victim = "" if part == "api" else victim
    armed.write_text(str(victim))
    pause = {"outage": [AWAY], "budget_pause": [FILL]}.get(point, [NAP] if point in SLEEPS else [])
    steps = [WORK, *pause, finish("out.txt")]
    began_at = time.monotonic()
    cell = f"{point}-{part}"  # the scripted model fails equal conversations only once
    overrides = PAUSING if point == "budget_pause" else {}
    task_id = dispatched(client, script(*steps, task=cell), key=cell, overrides=overrides)
    if point in ("wake", "woken"):
        woken(client, task_id)
    task = settled(platform, client, task_id)
    seconds = time.monotonic() - began_at
    record_property(
        "crash_cell", f"{point:18} {part:9} {task['status']:9} {seconds:5.1f} s"
    )  # printed by conftest.py
    if point == "clean_up":  # the new leader may be chosen after the task's end
        wait_until_gone(armed)
        platform.wait_ready()
    assert not armed.exists(), "the crash point was reached"
    assert task["status"] == "finished", task
    assert client.outputs(task_id)["out.txt"] in (b"one\n", b"one\none\n")
    assert seconds < WITHIN_SECONDS
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    client.events(task_id)  # checks that there is no gap
    until_clear(platform)


def wait_until_gone(armed: Path) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while armed.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def dispatched(client: Client, instructions: str, key: str, overrides: dict[str, Any]) -> str:
    """Dispatch as a client should: retry with the same Idempotency-Key until a response arrives."""
    create = client.once.tasks.create
    task = retried(lambda: create(instructions, agent=STANDARD, idempotency_key=key, overrides=overrides))
    client.task_ids.add(task.id)
    return task.id


def woken(client: Client, task_id: str) -> None:
    """Wake the task, unless its deadline wakes it first."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(Conflict):
            retried(lambda: client.wake(task_id))
            return
        if task_of(client, task_id)["status"] == "finished":
            return
        time.sleep(0.05)


def settled(platform: Platform, client: Client, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        task = task_of(client, task_id)
        if task["status"] in ("finished", "failed", "cancelled", "expired"):
            return task
        if task["hibernationReason"] == "provider":  # otherwise it tries again after a minute
            with contextlib.suppress(Conflict):
                retried(lambda: client.wake(task_id))
        if task["hibernationReason"] == "budget":
            with contextlib.suppress(Conflict):
                retried(lambda: client.once.tasks.update(task_id, budget={"maxTokens": 400_000}))
        assert time.monotonic() < deadline, (task, platform.log()[-3000:])
        time.sleep(0.1)


def task_of(client: Client, task_id: str) -> dict[str, Any]:
    return retried(lambda: client.task(task_id))


def retried(request: Callable[[], T]) -> T:
    """The first result that is neither a server error nor a broken connection."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        with contextlib.suppress(ServerFault, ConnectionFailed):
            return request()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_clear(platform: Platform) -> None:
    deadline = time.monotonic() + 60
    while platform.sandboxes() or platform.attempts():
        assert time.monotonic() < deadline, platform.attempts()
        time.sleep(0.1)
