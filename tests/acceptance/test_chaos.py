"""A short run of the chaos; `make chaos` runs longer ones."""

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


@pytest.mark.timeout(1800)  # the long one stirs for four minutes, and a slow machine is no failure
@pytest.mark.parametrize(
    ("seed", "tasks", "seconds"), [(5, 10, 12), pytest.param(7, 100, 240, marks=pytest.mark.long)]
)
def test_every_task_ends_correctly_under_chaos(
    two_runners: Platform, seed: int, tasks: int, seconds: float
) -> None:
    Chaos(two_runners, seed, tasks, seconds).run()
