"""Work that must not be left half done when it is cancelled."""

import asyncio
from pathlib import Path

import pytest

from agentcontainer.cancellation import to_its_end
from agentcontainer.sandbox import removal


async def test_a_cancel_is_raised_after_the_work_has_ended() -> None:
    may_end = asyncio.Event()
    ended: list[str] = []

    async def work() -> None:
        await may_end.wait()
        ended.append("work")

    caller = asyncio.create_task(to_its_end(work()))
    for _ in range(3):  # a cancel can be repeated
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == ["work"]


async def test_without_a_cancel_the_result_or_error_of_the_work_is_the_callers() -> None:
    async def fails() -> None:
        raise OSError("no space")

    assert await to_its_end(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(OSError, match="no space"):
        await to_its_end(fails())


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
async def test_a_folder_is_removed_also_when_its_removal_is_cancelled(tmp_path: Path, steps: int) -> None:
    root = tmp_path / "att_1"
    (root / "workspace/task").mkdir(parents=True)
    removing = asyncio.create_task(removal.remove(root))
    for _ in range(steps):
        await asyncio.sleep(0)
    removing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await removing
    assert not root.exists()
