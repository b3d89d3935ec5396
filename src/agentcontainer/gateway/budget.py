"""What one task's model requests may use, held before each request and settled after it.

A request reserves the most it can use: an upper bound of its input (admission.py), its greatest output, at the dearest
rates. What is used and reserved together never passes a limit, however many requests are in flight. Kept free beside
every request is one short last one with the same input, for the agent's last chance to call `finish`.

An output that does not fit is lowered to half of what is left, so that one answer whose usage never comes, or a second
request, does not find nothing; to all of it when that half would be below `_COMFORTABLE_OUTPUT`. Below `_LEAST_OUTPUT`
the request is refused, and the budget is exceeded for good. A request that would fit once others in flight have
settled waits for them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentcontainer.domain.models.prices import Price
from agentcontainer.domain.tasks import model
from agentcontainer.gateway.usage import Usage

LAST_OUTPUT = 1024  # tokens of the last request: enough for one `finish`
_LEAST_OUTPUT = 256
_COMFORTABLE_OUTPUT = 4096

NO_PRICES: Callable[[str], Price | None] = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Ask:
    """The most that a request can use: tokens of all its input, and of its output."""

    model: str
    input_tokens: int
    output_tokens: int
    has_long_writes: bool = False


@dataclass(eq=False)
class Reservation:
    """What is held for one request; `output_tokens` is what its answer may have."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    micro_usd: int = 0
    is_last: bool = False
    is_open: bool = True

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Budget:
    """One task's budget within one attempt; `used_*` is what earlier attempts used."""

    def __init__(
        self,
        limits: model.Budget | None = None,
        prices: Callable[[str], Price | None] = NO_PRICES,
        used_tokens: int = 0,
        used_micro_usd: int = 0,
    ) -> None:
        self.is_exceeded = False
        """A request was refused; none passes any more but a last one that `allow_last` lets through."""
        self._limits = limits
        self._prices = prices
        self._used_tokens = used_tokens
        self._used_micro_usd = used_micro_usd
        self._in_flight: set[Reservation] = set()
        self._is_last_open = False
        self._settled = asyncio.Event()

    @property
    def is_limited(self) -> bool:
        return self._limits is not None

    @property
    def used_tokens(self) -> int:
        return self._used_tokens

    @property
    def used_micro_usd(self) -> int:
        return self._used_micro_usd

    def allow_last(self) -> None:
        """Let one more request pass, with a short output, if it fits."""
        self._is_last_open = True

    async def reserve(self, ask: Ask) -> Reservation | None:
        """Hold what the request can use. None: it would pass a limit, so the budget is exceeded."""
        while True:
            if reservation := self._try(ask):
                return reservation
            if not self._in_flight or not self._could_fit(ask):
                self.is_exceeded = True
                self._is_last_open = False
                self._wake()
                return None
            await self._settled.wait()

    def reserve_aside(self, ask: Ask) -> Reservation | None:
        """For a request that the task can do without: None when it does not fit now, and nothing follows from it."""
        return None if self.is_exceeded else self._try(ask, is_lowered=False)

    def release(self, reservation: Reservation) -> None:
        """The request used nothing: it never left, or the provider refused it."""
        self._close(reservation)
        self._is_last_open = self._is_last_open or reservation.is_last

    def settle(self, reservation: Reservation, usage: Usage | None, *, is_complete: bool) -> Usage:
        """Count what the answer used, and return it with its cost.

        Where it broke off before its usage was told, providers charge for what they went on to write, unseen
        reasoning included: all that was reserved counts as used.
        """
        self._close(reservation)
        told = usage or Usage(reservation.model, 0, 0)
        price = self._prices(reservation.model)
        input_, output = told.input_tokens, told.output_tokens
        if not is_complete:
            input_ = input_ or reservation.input_tokens
            output = max(output, reservation.output_tokens)
        if price is None:
            micro_usd = 0
        elif told.input_tokens:
            micro_usd = price.cost(
                input_, output, told.cache_read_tokens, told.cache_write_tokens, told.long_cache_write_tokens
            )
        else:
            micro_usd = reservation.micro_usd if not is_complete else price.cost(input_, output)
        self._used_tokens += input_ + output
        self._used_micro_usd += micro_usd
        unreported = input_ + output - told.input_tokens - told.output_tokens
        return replace(told, unreported_tokens=unreported, cost_micro_usd=micro_usd)

    def _close(self, reservation: Reservation) -> None:
        assert reservation.is_open
        reservation.is_open = False
        self._in_flight.discard(reservation)
        self._wake()

    def _wake(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()

    def _try(self, ask: Ask, *, is_lowered: bool = True) -> Reservation | None:
        if self._limits is None:
            return Reservation(ask.model)
        if self.is_exceeded and not self._is_last_open:
            return None
        held = self._in_flight
        output = self._grant(ask, sum(r.tokens for r in held), sum(r.micro_usd for r in held))
        if output is None or (output < ask.output_tokens and not is_lowered):
            return None
        reservation = Reservation(
            ask.model, ask.input_tokens, output, self._most(ask, output), self.is_exceeded
        )
        self._is_last_open = False
        held.add(reservation)
        return reservation

    def _could_fit(self, ask: Ask) -> bool:
        """Whether it would fit if all in flight turned out to use nothing."""
        return (not self.is_exceeded or self._is_last_open) and self._grant(ask, 0, 0) is not None

    def _grant(self, ask: Ask, reserved_tokens: int, reserved_micro_usd: int) -> int | None:
        """The output that the request may have; None: too little."""
        assert self._limits is not None
        wanted = min(ask.output_tokens, LAST_OUTPUT) if self.is_exceeded else ask.output_tokens
        left = wanted
        if self._limits.max_tokens is not None:
            aside = 0 if self.is_exceeded else ask.input_tokens + LAST_OUTPUT
            free = self._limits.max_tokens - self._used_tokens - reserved_tokens - aside
            left = min(left, free - ask.input_tokens)
        if self._limits.max_cost_micro_usd is not None and (price := self._prices(ask.model)) is not None:
            aside = 0 if self.is_exceeded else self._most(ask, LAST_OUTPUT)
            free = self._limits.max_cost_micro_usd - self._used_micro_usd - reserved_micro_usd - aside
            affordable = price.affordable_output(free, ask.input_tokens, has_long_writes=ask.has_long_writes)
            left = left if affordable is None else min(left, affordable)
        elif self._limits.max_cost_micro_usd is not None:
            return None  # without a price no limit can be kept
        if left >= wanted:
            return wanted
        if not self.is_exceeded:
            left = max(min(left, _COMFORTABLE_OUTPUT), left // 2)
        return left if left >= _LEAST_OUTPUT else None

    def _most(self, ask: Ask, output: int) -> int:
        price = self._prices(ask.model)
        return price.max_cost(ask.input_tokens, output, has_long_writes=ask.has_long_writes) if price else 0
