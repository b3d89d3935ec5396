"""kill -9 of each part at each labelled step of the way: the task ends right, the ledger adds up, nothing is left."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from agentcontainer import crash

from .conftest import Client, Platform, finish, script

pytestmark = pytest.mark.xdist_group("crash")  # one platform for all of them

PARTS = ("runner", "api", "postgres")
WITHIN_SECONDS = 120  # some ten seconds, unless the machine is busy with other things
# tests/coordination cuts the connection to the database at each of the runner's COMMITs, in every run.
SHORT = ("dispatch", "outputs_stored", "checkpoint_stored", "wake")
IN_API = ("dispatch", "dispatched", "wake", "woken", "sweep")


def cells() -> Iterator[Any]:
    """Every point with every part; the short run has some points with the process that gets there."""
    for point in get_args(crash.Point):
        for part in PARTS:
            is_own = part == ("api" if point in IN_API else "runner")
            is_short = (is_own and point in SHORT) or (point == "hibernate" and part == "postgres")
            marks = () if is_short else (pytest.mark.long,)
            yield pytest.param(point, part, marks=marks, id=f"{point}-{part}")


SLEEPS = ("hibernate", "wake", "woken", "checkpoint_stored", "restore")
WORK = {"bash": "echo one >> work.txt; cp work.txt out.txt"}
NAP = {"bash": 'hibernate --message "Waiting." --for 1s'}


@pytest.fixture(scope="module")
def crashing(scripted_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Path]]:
    """One platform for the whole matrix; after each cell it must be whole again."""
    folder = tmp_path_factory.mktemp("crash")
    platform = Platform(scripted_url, capacity="2", runner_lost_after_seconds="5")
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
    if point == "sweep":  # an API sweeps when it starts
        platform.kill("api")
        victim = "" if part == "api" else victim
    armed.write_text(str(victim))
    steps = [WORK, NAP, finish("out.txt")] if point in SLEEPS else [WORK, finish("out.txt")]
    began_at = time.monotonic()
    task_id = dispatched(client, script(*steps), key=f"{point}-{part}")
    if point in ("wake", "woken"):
        woken(client, task_id)
    task = settled(platform, client, task_id)
    seconds = time.monotonic() - began_at
    record_property(
        "truth", f"{point:18} {part:9} {task['status']:9} {seconds:5.1f} s"
    )  # conftest.py shows them
    assert not armed.exists(), "the point was reached"
    assert task["status"] == "finished", task
    assert client.outputs(task_id)["out.txt"] in (b"one\n", b"one\none\n")
    assert seconds < WITHIN_SECONDS
    assert client.ledger_sum() == pytest.approx(100 - task["costUsd"], abs=1e-6)
    client.events(task_id)  # checks that there is no gap
    until_clear(platform)


def dispatched(client: Client, instructions: str, key: str) -> str:
    """Dispatch as a client should: the same Idempotency-Key until there is an answer."""
    body = {"instructions": instructions}
    headers = {"Idempotency-Key": key}
    answer = insisting(
        lambda: client.http.post("/agents/agt_standard_data/tasks", json=body, headers=headers)
    )
    assert answer.status_code == 201, answer.text
    client.task_ids.add(answer.json()["id"])
    return answer.json()["id"]


def woken(client: Client, task_id: str) -> None:
    """Wake it, unless its deadline does."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        answer = insisting(lambda: client.http.post(f"/tasks/{task_id}/wake", json={"kind": "external_wake"}))
        if answer.status_code == 200 or client_task(client, task_id)["status"] == "finished":
            return
        time.sleep(0.05)


def settled(platform: Platform, client: Client, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        task = client_task(client, task_id)
        if task["status"] in ("finished", "failed", "cancelled", "expired"):
            return task
        assert time.monotonic() < deadline, (task, platform.log()[-3000:])
        time.sleep(0.1)


def client_task(client: Client, task_id: str) -> dict[str, Any]:
    return insisting(lambda: client.http.get(f"/tasks/{task_id}")).json()


def insisting(ask: Any) -> httpx.Response:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            answer = ask()
            if answer.status_code < 500:
                return answer
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_clear(platform: Platform) -> None:
    deadline = time.monotonic() + 60
    while platform.sandboxes() or platform.attempts():
        assert time.monotonic() < deadline, platform.attempts()
        time.sleep(0.1)
