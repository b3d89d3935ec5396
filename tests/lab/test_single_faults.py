"""Faults of one kind each that the lab found once: of regions, clocks, streams, and of runners that do not belong."""

import asyncio
import time

import pytest

from tests.acceptance.bed import Client, script
from tests.event_stream import Stream

from .lab import ADDRESSES, Lab, wait_until
from .workload import EU

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
SKEW_SECONDS = 60


def test_partial_outputs_of_an_eu_task_are_stored_by_a_runner_of_the_eu(lab: Lab, client: Client) -> None:
    steps = script({"bash": "echo a > part.txt"}, {"bash": 'hibernate --message "Later." --for 1h'})
    task_id = client.dispatch(steps, overrides=EU)
    client.wait(task_id, "hibernating")
    lab.service("r3").stop()
    try:
        client.cancel(task_id)
        time.sleep(8)  # in which another runner would have stored it
        assert partial_outputs(client, task_id) == []
    finally:
        lab.start_runner("r3")
        lab.wait_started("r3")
    wait_until(lambda: partial_outputs(client, task_id) == ["part.txt"], "no partial output")


def partial_outputs(client: Client, task_id: str) -> list[str]:
    return [file["filename"] for file in client.files(task_id) if file["partial"]]


def test_a_runner_with_a_wrong_clock_refuses_to_start(lab: Lab) -> None:
    lab.service("r1").stop()
    try:
        variables = lab.with_clock("r1")
        lab.set_clock("r1", SKEW_SECONDS)
        service = lab.start_runner("r1", **variables)
        wait_until(lambda: not service.is_running(), "it runs", 30)
        assert "clock" in service.log().splitlines()[-1]
    finally:
        lab.service("r1").stop()
        lab.start_runner("r1")
        lab.wait_started("r1")


def test_a_runner_without_its_row_stops(lab: Lab) -> None:
    """Its row is removed as if it had been lost for long."""
    service = lab.service("r1")
    deleted = "DELETE FROM runners WHERE host = 'r1' AND stopped_at IS NULL RETURNING id"
    wait_until(lambda: bool(lab.rows(deleted)), "r1 has no row")
    try:
        wait_until(lambda: not service.is_running(), lambda: f"it goes on: {service.log()}", 30)
    finally:
        service.stop()
        lab.start_runner("r1")
        lab.wait_started("r1")


def test_a_stream_whose_api_has_lost_the_database_ends(lab: Lab, client: Client) -> None:
    task_id = client.dispatch(script({"bash": "sleep 30"}))

    async def seconds_until_end() -> float:
        url = f"http://{ADDRESSES['api1']}:8080"
        path = f"/api/v1/tasks/{task_id}/events?stream=true"
        async with await Stream.open(url, path, client.api_key) as stream:
            await stream.some(1)
            began_at = time.monotonic()
            with lab.network.cut((lab.hosts["api1"], lab.hosts["db"])):
                await asyncio.wait_for(stream.rest(), 40)
        return time.monotonic() - began_at

    assert asyncio.run(seconds_until_end()) < 20
    client.cancel(task_id)
    wait_until(lab.client_of(client, "api1").is_answered, "api1 does not recover")
