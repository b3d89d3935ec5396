"""One chaos run with a fixed seed; `make chaos` takes other seeds."""

from collections.abc import Iterator

import pytest

from .chaos import LOST_AFTER, Chaos
from .conftest import Platform


@pytest.fixture
def two_runners(scripted_url: str) -> Iterator[Platform]:
    platform = Platform(
        scripted_url, capacity="3", runner_lost_after_seconds=str(LOST_AFTER), warm_seconds="3",
        checkpoint_seconds="2", rate_limit_per_minute="0",
    )  # fmt: skip
    try:
        platform.start()
        yield platform
    finally:
        platform.close()


@pytest.mark.long
@pytest.mark.timeout(1800)  # four minutes of disturbances, then up to two without progress on a slow machine
def test_every_task_ends_correctly_under_chaos(two_runners: Platform) -> None:
    Chaos(two_runners, seed=7, tasks=100, seconds=240).run()
