"""Ids carry the time at which they were made."""

from datetime import UTC, datetime, timedelta

from agentcontainer.ids import bounds, new_id


def test_the_bounds_of_a_moment_hold_the_ids_of_that_moment() -> None:
    before = datetime.now(UTC)
    made = new_id("tsk")
    after = datetime.now(UTC)
    assert bounds("tsk", before)[0] <= made <= bounds("tsk", after)[1]
    low, high = bounds("tsk", before)
    assert low < high < bounds("tsk", before + timedelta(milliseconds=2))[0]
