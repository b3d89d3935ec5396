"""Tasks with internet access, with named hosts only, and without, in a simulated internet."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import internet

pytestmark = pytest.mark.xdist_group("internet")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with internet.world(Path(tmp_path_factory.mktemp("world"))) as world:
        yield internet.answer(world.inside([sys.executable, "-m", "tests.acceptance.internet_task"]))


def answers(text: str) -> dict[str, str]:
    return {line.split()[0].split("/")[2].split(":")[0]: line.split(" ", 1)[1] for line in text.splitlines()}


def test_a_task_with_internet_access_reaches_public_addresses_only(outcomes: dict[str, Any]) -> None:
    outcome = outcomes["open"]
    assert outcome["task"]["status"] == "finished", outcome["task"]
    reached = answers(outcome["out.txt"])
    assert "HTTPParserError" in reached["public.test"] and "HTTPParserError" in reached["other.test"], (
        "the server does not speak HTTP"
    )
    assert reached["private.test"] == "ENOTFOUND"
    assert outcome["refused"] == []
    assert "public internet can be reached" in outcome["harness.txt"]


def test_a_task_with_an_allow_list_reaches_those_hosts_and_logs_refusals(outcomes: dict[str, Any]) -> None:
    outcome = outcomes["listed"]
    assert outcome["task"]["status"] == "finished", outcome["task"]
    assert outcome["task"]["overrides"]["egress"] == {"allow": ["public.test:8080"]}
    reached = answers(outcome["out.txt"])
    assert "HTTPParserError" in reached["public.test"]
    assert (reached["other.test"], reached["private.test"]) == ("ENOTFOUND", "ENOTFOUND")
    assert outcome["refused"] == [
        {"host": "other.test", "port": None, "rule": "other.test"},
        {"host": "private.test", "port": None, "rule": "private.test"},
    ]
    assert "only these hosts can be reached, by TCP: `public.test:8080`" in outcome["harness.txt"]


def test_a_task_without_internet_access_has_no_network(outcomes: dict[str, Any]) -> None:
    reached = answers(outcomes["none"]["out.txt"])
    assert set(reached.values()) <= {"ENOTFOUND", "EAI_AGAIN"}, reached
    assert outcomes["none"]["refused"] == []


def test_no_network_process_outlives_its_runner(outcomes: dict[str, Any]) -> None:
    assert outcomes["left"] == []
