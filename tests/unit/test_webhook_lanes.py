"""No account has more than its share of a lane, and every account has its turn."""

import asyncio
import random
from collections import Counter

from agentcontainer.api.webhook_lanes import ACCOUNTS_AT_ONCE, Bounds, Lane
from agentcontainer.domain.webhooks.queue import AT_ONCE, WaitingAccount

BOUNDS = Bounds(sending=32, of_account=8)


def waiting(lane: Lane, accounts: list[str]) -> list[WaitingAccount]:
    """What the database answers to a lane."""
    after = [account for account in sorted(accounts) if account > lane.after_account]
    return [WaitingAccount(account, is_due=True) for account in after[:ACCOUNTS_AT_ONCE]]


async def test_an_account_alone_has_its_share_and_others_share_the_rest() -> None:
    lane, release = Lane(1, BOUNDS), asyncio.Event()

    async def send() -> None:
        await release.wait()

    async def claim(accounts: list[str]) -> None:
        for account, endpoints in lane.take_turns(waiting(lane, accounts)).items():
            for _ in range(endpoints * AT_ONCE):
                lane.add(account, send())

    await claim(["a"])
    assert len(lane.sending) == BOUNDS.of_account
    assert lane.take_turns(waiting(lane, ["a"])) == {}
    assert lane.after_account == ""
    await claim(["a", "b", "c", "d"])
    await claim(["a", "b", "c", "d"])
    assert len(lane.sending) == BOUNDS.sending
    assert lane.free_endpoints == 0
    release.set()
    await asyncio.gather(*lane.sending)
    await asyncio.sleep(0)
    assert (lane.free_endpoints, lane.sending) == (BOUNDS.sending // AT_ONCE, [])


async def test_every_account_has_its_turn_while_some_always_have_more() -> None:
    lane = Lane(2, BOUNDS)
    accounts = [f"acc_{number:04}" for number in range(2 * ACCOUNTS_AT_ONCE + 7)]
    turns = Counter[str]()

    async def send() -> None:
        await asyncio.sleep(random.random() * 0.001)

    passes = 0
    while passes < 3:
        for account, endpoints in lane.take_turns(waiting(lane, accounts)).items():
            turns[account] += 1
            for _ in range(endpoints * AT_ONCE):
                lane.add(account, send())
        passes += lane.after_account == ""
        assert len(lane.sending) <= BOUNDS.sending
        while not lane.free_endpoints:
            await asyncio.sleep(0.001)
    assert set(turns.values()) == {3}
    await asyncio.gather(*lane.sending)
    assert turns.keys() == set(accounts)


async def test_accounts_whose_time_has_not_come_have_no_turn() -> None:
    lane = Lane(0, BOUNDS)
    accounts = [WaitingAccount(f"acc_{number:04}", is_due=False) for number in range(ACCOUNTS_AT_ONCE)]
    assert lane.take_turns(accounts) == {}
    assert lane.after_account == accounts[-1].id  # there may be more
    assert lane.take_turns([]) == {}
    assert lane.after_account == ""
