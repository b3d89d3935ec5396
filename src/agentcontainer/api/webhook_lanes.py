"""How one process divides its requests to receivers: by lane, and in a lane account by account in turn.

Receivers that hang fill the room of their own lane, and of it only their account's share.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from agentcontainer.domain.webhooks.queue import AT_ONCE, WaitingAccount

ACCOUNTS_AT_ONCE = 100  # that one query looks at


@dataclass(frozen=True)
class Bounds:
    """How many deliveries of a lane this process sends at a time, and of them how many of one account."""

    sending: int
    of_account: int


BOUNDS = {0: Bounds(128, 64), 1: Bounds(64, 16), 2: Bounds(64, 16)}


class Lane:
    """What this process sends in one lane. `after_account`: the next turn begins after this account."""

    def __init__(self, number: int, bounds: Bounds) -> None:
        self.number = number
        self.after_account = ""
        self._bounds = bounds
        self._sending: dict[asyncio.Task[None], str] = {}
        self._of_account = Counter[str]()

    @property
    def sending(self) -> Sequence[asyncio.Task[None]]:
        """The deliveries that are being sent."""
        return list(self._sending)

    @property
    def free_endpoints(self) -> int:
        """Of how many endpoints this process may claim deliveries now."""
        return (self._bounds.sending - len(self._sending)) // AT_ONCE

    def add(self, account_id: str, sending: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin to send a delivery of the account."""
        task = asyncio.create_task(sending)
        self._sending[task] = account_id
        self._of_account[account_id] += 1
        task.add_done_callback(self._remove)
        return task

    def take_turns(self, accounts: Sequence[WaitingAccount]) -> dict[str, int]:
        """Of how many endpoints of each account deliveries are claimed next.

        `accounts`: those after `after_account`, at most `ACCOUNTS_AT_ONCE`. `after_account` moves on, and is empty
        again when all accounts have had their turn.
        """
        free = {
            account.id: (self._bounds.of_account - self._of_account[account.id]) // AT_ONCE
            for account in accounts
            if account.is_due
        }
        room = self.free_endpoints
        due = [account_id for account_id, count in free.items() if count > 0]
        chosen = due[:room]
        if len(chosen) < len(due):
            self.after_account = chosen[-1] if chosen else self.after_account
        else:
            self.after_account = accounts[-1].id if len(accounts) == ACCOUNTS_AT_ONCE else ""
        return {account_id: min(free[account_id], room // len(chosen)) for account_id in chosen}

    def _remove(self, task: asyncio.Task[None]) -> None:
        account_id = self._sending.pop(task)
        self._of_account[account_id] -= 1
        if not self._of_account[account_id]:
            del self._of_account[account_id]
