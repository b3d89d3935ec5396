"""Many tasks at once: all finish, never more containers than the capacity, the ledger adds up."""

import threading
import time

import pytest

from .conftest import Client, Platform, finish, script


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.long)])
def test_many_tasks_on_capacity_four(client: Client, shared_platform: Platform, count: int) -> None:
    highest, is_over = 0, threading.Event()

    def look() -> None:
        nonlocal highest
        while not is_over.is_set():
            groups = shared_platform.sandboxes().values()
            # Only those still alive: listing all processes takes a while, so some may have ended before others began.
            highest = max(highest, sum(group[0].is_running() for group in groups))
            time.sleep(0.02)

    counter = threading.Thread(target=look)
    counter.start()
    try:
        ids = [
            client.dispatch(script({"bash": f"echo {n} > n.txt; sleep 0.5"}, finish("n.txt")))
            for n in range(count)
        ]
        tasks = [client.wait(task_id, seconds=110) for task_id in ids]
    finally:
        is_over.set()
        counter.join()
    assert [task["status"] for task in tasks] == ["finished"] * count
    assert [client.outputs(task_id)["n.txt"] for task_id in ids] == [f"{n}\n".encode() for n in range(count)]
    assert 2 <= highest <= 4
    assert client.ledger_sum() == pytest.approx(100 - sum(task["costUsd"] for task in tasks), abs=1e-6)
