"""Slots of a runner: when the container in one may be evicted."""

import asyncio

from agentcontainer.runner.slot import Slot


def is_evicted(slot: Slot) -> bool:
    """Whether `evicted` returns without waiting."""
    waiting = slot.evicted()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    finally:
        waiting.close()
    return False


async def test_only_an_idle_container_can_be_evicted() -> None:
    slot = Slot(lambda: False)
    assert not slot.evict()
    slot.begin_idle()
    assert slot.evict()
    assert is_evicted(slot)
    assert not slot.evict(), "it was already asked"


async def test_a_container_that_becomes_idle_is_evicted_at_once_if_a_job_waits() -> None:
    is_work_waiting = False
    slot = Slot(lambda: is_work_waiting)
    slot.begin_idle()
    assert not is_evicted(slot)
    slot.end_idle()
    is_work_waiting = True
    slot.begin_idle()
    assert is_evicted(slot)


async def test_an_eviction_does_not_outlast_the_idle_time() -> None:
    slot = Slot(lambda: False)
    slot.begin_idle()
    assert slot.evict()
    slot.end_idle()
    assert not slot.evict(), "the container works again"
    slot.begin_idle()
    assert not is_evicted(slot)


async def test_an_eviction_wakes_the_container_that_waits_for_it() -> None:
    slot = Slot(lambda: False)
    slot.begin_idle()
    eviction = asyncio.create_task(slot.evicted())
    await asyncio.sleep(0)
    assert not eviction.done()
    slot.evict()
    await asyncio.wait_for(eviction, 5)


async def test_slots_are_compared_by_how_long_they_have_been_idle() -> None:
    slot = Slot(lambda: False)
    assert slot.idle_since is None
    slot.begin_idle()
    first = slot.idle_since
    assert first is not None
    slot.end_idle()
    assert slot.idle_since is None
    await asyncio.sleep(0.001)
    slot.begin_idle()
    assert slot.idle_since is not None
    assert slot.idle_since > first


async def test_a_container_that_resumes_work_is_not_evicted() -> None:
    """A message arrived before the container could give up its slot."""
    slot = Slot(lambda: False)
    slot.begin_idle()
    assert slot.evict()
    slot.end_idle()
    assert slot.is_evicting
    slot.resume()
    assert not slot.is_evicting
