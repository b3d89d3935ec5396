"""A background loop survives its failures, reports them without flooding the log, and does not end unnoticed."""

import asyncio
import logging

import pytest

from agentcontainer.periodic import LoopEnded, background, repeat


class Failing:
    """An action that raises `errors` one after the other, then sets `is_done`."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.is_done = asyncio.Event()

    async def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.is_done.set()


async def run_through(action: Failing, expected: tuple[type[Exception], ...] = ()) -> None:
    async with background(repeat("counting sheep", action, 0, expected)), asyncio.timeout(5):
        await action.is_done.wait()


async def test_a_failure_is_logged_with_its_message_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await run_through(Failing(ValueError("the fence is open"), OSError("no wool")), (OSError,))
    assert [(record.levelno, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        (logging.ERROR, "counting sheep failed: ValueError: the fence is open", True),
        (logging.WARNING, "counting sheep failed: OSError: no wool", False),
    ]


async def test_failures_of_one_type_are_logged_at_a_bounded_rate(caplog: pytest.LogCaptureFixture) -> None:
    action = Failing(*[OSError(str(number)) for number in range(50)])
    async with background(repeat("counting sheep", action, 0, (OSError,), log_again_seconds=0.2)):
        await action.is_done.wait()
        assert [record.getMessage() for record in caplog.records] == ["counting sheep failed: OSError: 0"]
        await asyncio.sleep(0.25)
        action.errors.append(OSError("50"))
        while len(caplog.records) < 2:
            await asyncio.sleep(0.01)
    assert (
        caplog.records[1].getMessage() == "counting sheep failed: OSError: 50 (49 more since the last report)"
    )


async def test_a_failure_without_a_message_is_logged_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    await run_through(Failing(TimeoutError()), (TimeoutError,))
    assert caplog.records[0].getMessage() == "counting sheep failed: TimeoutError"


async def test_a_loop_ends_when_cancelled_though_its_action_swallows_the_cancel() -> None:
    has_begun = asyncio.Event()

    async def swallow() -> None:
        has_begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("connection closed") from None

    loop = asyncio.create_task(repeat("swallowing", swallow, 0))
    await has_begun.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(loop, 5)


@pytest.mark.parametrize("is_cancel_swallowed", [False, True])
async def test_a_loop_that_ends_ends_the_block_with_an_error(is_cancel_swallowed: bool) -> None:
    async def end() -> None:
        raise SystemError("broken")

    async def own() -> None:
        async with background(end(), end()):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not is_cancel_swallowed:
                    raise

    with pytest.raises(LoopEnded, match=r"end") as raised:
        await own()
    assert isinstance(raised.value.__cause__, SystemError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_loop_that_returns_is_an_error_too() -> None:
    async def end() -> None:
        return

    with pytest.raises(LoopEnded):
        async with background(end()):
            await asyncio.sleep(60)


async def test_the_loops_are_over_after_the_block_and_its_own_error_is_kept() -> None:
    has_ended = asyncio.Event()

    async def loop() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            has_ended.set()

    async def own() -> None:
        async with background(loop()):
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await own()
    assert has_ended.is_set()


async def test_the_owners_own_cancel_stays_a_cancel() -> None:
    async def own() -> None:
        async with background(repeat("waiting", asyncio.Event().wait, 0)):
            await asyncio.sleep(60)

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
