"""The budget of a task: used plus held amounts never exceed a limit, in any order of events."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcontainer.domain.execution import model
from agentcontainer.domain.execution.store import budget_of
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.domain.models.prices import Price
from agentcontainer.gateway.budget import LAST_OUTPUT, Budget, Estimate, Reservation
from agentcontainer.gateway.usage import Usage

PRICE = Price(
    Rates(Decimal("0.3"), Decimal("1.7"), Decimal("0.03"), Decimal("0.375")),
    ((20_000, Rates(Decimal("0.6"), Decimal("2.5"), Decimal("0.06"), Decimal("0.75"))),),
)


def budget(max_tokens: int | None = None, max_micro_usd: int | None = None, **used: int) -> Budget:
    return Budget(model.Budget(max_micro_usd, max_tokens), lambda _: PRICE, **used)


async def reserved(of: Budget, input_tokens: int, output_tokens: int) -> Reservation:
    reservation = await of.reserve(Estimate("m", input_tokens, output_tokens))
    assert reservation is not None
    return reservation


def usage(input_tokens: int, output_tokens: int) -> Usage:
    return Usage("m", input_tokens, output_tokens)


asks = st.builds(Estimate, st.just("m"), st.integers(0, 40_000), st.integers(1, 130_000), st.booleans())
steps = st.lists(
    st.one_of(
        asks,
        st.tuples(st.sampled_from(["settle", "cut", "release"]), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1)),
        st.just("last"),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    steps,
    st.one_of(st.none(), st.integers(1, 400_000)),
    st.one_of(st.none(), st.integers(1, 400_000)),
    st.integers(0, 1000),
)
def test_concurrent_requests_never_exceed_a_limit(
    history: list[object], max_tokens: int | None, max_micro_usd: int | None, used_before: int
) -> None:
    if max_tokens is None and max_micro_usd is None:
        max_tokens = 10_000
    used_before = min(used_before, max_tokens or used_before, max_micro_usd or used_before)
    task_budget = budget(max_tokens, max_micro_usd, used_tokens=used_before, used_micro_usd=used_before)
    flying: list[Reservation] = []

    def check() -> None:
        if max_tokens is not None:
            assert task_budget.used_tokens + sum(r.tokens for r in flying) <= max_tokens
        if max_micro_usd is not None:
            assert task_budget.used_micro_usd + sum(r.micro_usd for r in flying) <= max_micro_usd

    async def live() -> None:
        last_ones = allowed = 0
        for step in history:
            if isinstance(step, Estimate):
                reserving = asyncio.ensure_future(task_budget.reserve(step))
                for _ in range(3):
                    await asyncio.sleep(0)
                if not reserving.done():  # it waits for requests in flight
                    assert flying
                    reserving.cancel()
                elif reservation := reserving.result():
                    assert 1 <= reservation.output_tokens <= step.output_tokens
                    last_ones += reservation.is_last
                    flying.append(reservation)
                else:
                    assert task_budget.is_exceeded
            elif isinstance(step, tuple):
                action, position, share_in, share_out = step
                if flying:
                    reservation = flying.pop(position % len(flying))
                    if action == "release":
                        last_ones -= reservation.is_last
                        task_budget.release(reservation)
                    else:
                        usage_reported = Usage(
                            "m",
                            int(reservation.input_tokens * share_in),
                            int(reservation.output_tokens * share_out),
                        )
                        task_budget.settle(reservation, usage_reported, is_complete=action == "settle")
            elif task_budget.is_exceeded and not allowed:
                task_budget.allow_last()
                allowed = 1
            check()
            assert last_ones <= allowed

    asyncio.run(live())


async def test_an_output_that_does_not_fit_is_lowered() -> None:
    task_budget = budget(max_tokens=50_000)
    first = await reserved(task_budget, 1000, 128_000)
    assert first.output_tokens == (50_000 - 2 * 1000 - LAST_OUTPUT) // 2
    second = await reserved(task_budget, 1000, 128_000)
    assert LAST_OUTPUT < second.output_tokens < first.output_tokens


async def test_a_small_remainder_is_granted_whole() -> None:
    task_budget = budget(max_tokens=2 * 1000 + LAST_OUTPUT + 3000)
    assert (await reserved(task_budget, 1000, 128_000)).output_tokens == 3000


async def test_a_request_waits_when_it_fits_only_after_another_settles() -> None:
    task_budget = budget(max_tokens=10_000)
    first = await reserved(task_budget, 3000, 2000)
    second = asyncio.ensure_future(task_budget.reserve(Estimate("m", 3000, 2000)))
    await asyncio.sleep(0.01)
    assert not second.done()
    task_budget.settle(first, usage(100, 50), is_complete=True)
    granted = await asyncio.wait_for(second, 1)
    assert granted is not None
    assert granted.output_tokens == 2000


async def test_a_request_that_cannot_fit_exceeds_the_budget_for_good() -> None:
    task_budget = budget(max_tokens=5000, used_tokens=1000)
    assert await task_budget.reserve(Estimate("m", 2000, 1000)) is None
    assert task_budget.is_exceeded
    assert await task_budget.reserve(Estimate("m", 1, 1)) is None
    task_budget.allow_last()
    last = await reserved(task_budget, 2000, 64_000)
    assert (last.is_last, last.output_tokens) == (True, LAST_OUTPUT)
    assert await task_budget.reserve(Estimate("m", 1, 1)) is None


async def test_a_last_request_that_the_provider_failed_may_be_repeated() -> None:
    task_budget = budget(max_tokens=5000)
    assert await task_budget.reserve(Estimate("m", 4000, 1000)) is None
    task_budget.allow_last()
    task_budget.release(await reserved(task_budget, 2000, 1000))
    task_budget.settle(await reserved(task_budget, 2000, 1000), usage(1000, 10), is_complete=True)
    assert await task_budget.reserve(Estimate("m", 1, 1)) is None


async def test_a_response_that_broke_off_costs_all_that_was_held_for_it() -> None:
    task_budget = budget(max_tokens=100_000, max_micro_usd=100_000)
    settled = task_budget.settle(await reserved(task_budget, 2000, 3000), usage(1500, 20), is_complete=False)
    assert (settled.input_tokens, settled.output_tokens, settled.unreported_tokens) == (1500, 20, 2980)
    assert settled.cost_micro_usd == PRICE.cost(1500, 3000)
    assert (task_budget.used_tokens, task_budget.used_micro_usd) == (4500, settled.cost_micro_usd)


async def test_a_side_request_neither_waits_nor_exceeds_the_budget() -> None:
    task_budget = budget(max_tokens=10_000)
    assert task_budget.reserve_aside(Estimate("m", 9000, 1000)) is None
    assert not task_budget.is_exceeded
    assert task_budget.reserve_aside(Estimate("m", 500, 1000)) is not None


async def test_without_limits_all_requests_pass_and_are_priced() -> None:
    free = Budget(None, lambda _: PRICE)
    settled = free.settle(await reserved(free, 0, 0), usage(1000, 100), is_complete=True)
    assert (settled.cost_micro_usd, settled.unreported_tokens) == (470, 0)
    cut = free.settle(await reserved(free, 0, 0), None, is_complete=False)
    assert (cut.unreported_tokens, cut.cost_micro_usd) == (0, 0)


async def test_a_cost_limit_without_a_known_price_refuses_requests() -> None:
    assert await Budget(model.Budget(max_cost_micro_usd=10**9)).reserve(Estimate("m", 1, 1)) is None


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        ({"maxCostUsd": 0.000001}, model.Budget(1, None)),
        ({"maxCostUsd": 1.1, "maxTokens": 5}, model.Budget(1_100_000, 5)),
        ({"maxCostUsd": 9999.999999}, model.Budget(9_999_999_999, None)),
    ],
)
def test_dollars_become_whole_micro_dollars_exactly(data: dict[str, object], limits: model.Budget) -> None:
    assert budget_of(data) == limits


async def test_a_raised_limit_lets_a_refused_request_pass() -> None:
    raised = [model.Budget(max_tokens=100_000)]

    async def read() -> model.Budget:
        return raised[0]

    budget = Budget(model.Budget(max_tokens=1000), read_limits=read)
    reservation = await budget.reserve(Estimate("m", 5000, 1000))
    assert reservation is not None
    assert not budget.is_exceeded
    budget.release(reservation)
    raised[0] = model.Budget(max_tokens=2000)
    assert await budget.refresh()
    assert not await budget.refresh()
    assert await budget.reserve(Estimate("m", 5000, 1000)) is None
    assert budget.is_exceeded


def test_new_limits_end_the_last_request() -> None:
    budget = Budget(model.Budget(max_tokens=1000, on_reached="pause"))
    assert budget.is_pausing
    budget.is_exceeded = True
    budget.allow_last()
    assert budget.had_last
    assert not budget.set_limits(model.Budget(max_tokens=1000, on_reached="pause"))
    assert budget.is_exceeded
    assert budget.set_limits(model.Budget(max_tokens=9000))
    assert not (budget.is_exceeded or budget.had_last or budget.is_pausing)


async def test_a_raise_after_a_refusal_is_noticed_once() -> None:
    budget = Budget(model.Budget(max_tokens=1000))
    assert await budget.reserve(Estimate("m", 5000, 1000)) is None
    assert not budget.is_raised_after_refusal()
    budget.set_limits(model.Budget(max_tokens=100_000))
    assert budget.is_raised_after_refusal()
    assert not budget.is_raised_after_refusal()


async def test_a_refusal_of_an_earlier_prompt_is_forgotten() -> None:
    limits = model.Budget(max_tokens=1000)

    async def read() -> model.Budget:
        return limits

    budget = Budget(limits, read_limits=read)
    assert await budget.reserve(Estimate("m", 5000, 1000)) is None
    limits = model.Budget(max_tokens=100_000)
    await budget.begin_prompt()
    assert not budget.is_exceeded
    assert not budget.is_raised_after_refusal()
