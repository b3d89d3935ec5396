"""A full workspace ends its task only when nothing is freed."""

import time

from agentcontainer.runner.workspace.full_disk import Grace


def test_a_workspace_with_room_never_ends_its_task() -> None:
    grace = Grace(0.0)
    assert not grace.is_over((10, 10), is_full=False)


def test_a_full_workspace_ends_its_task_when_the_time_is_over() -> None:
    grace = Grace(0.05)
    assert not grace.is_over((5, 5), is_full=True)
    time.sleep(0.06)
    assert grace.is_over((5, 5), is_full=True)


def test_whatever_is_freed_starts_the_time_again() -> None:
    grace = Grace(0.05)
    assert not grace.is_over((5, 5), is_full=True)
    for free in ((6, 5), (4, 6)):
        time.sleep(0.06)
        assert not grace.is_over(free, is_full=True)
    time.sleep(0.06)
    assert not grace.is_over((10**9, 10**9), is_full=False)
    assert not grace.is_over((4, 4), is_full=True)


def test_writing_more_does_not_start_it_again() -> None:
    grace = Grace(0.05)
    assert not grace.is_over((5, 5), is_full=True)
    time.sleep(0.06)
    assert grace.is_over((-100, 5), is_full=True)
