"""Holds the budget of one task's model requests: reserves before each request, settles after it.

A reservation covers the most that the request can use: an upper bound of its input, its largest output, at the highest
rates. What is used and reserved together never exceeds a limit, however many requests are in flight. Beside each
request, one short last request with the same input is kept free, so that the agent can still call `finish`.

An output that does not fit is lowered to half of what is left. So something remains for the next request, also if this
response never reports its usage. If half would be below `_COMFORTABLE_OUTPUT`, the output gets all that is left, up to
that number. Below `_MIN_OUTPUT` the request is refused, and the budget stays exceeded. A request that would fit once
others in flight have settled waits for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agentcontainer.domain.execution import model
from agentcontainer.domain.models.prices import Price
from agentcontainer.gateway.usage import Usage

LAST_OUTPUT = 1024  # output tokens of the last request: enough to call `finish`
_MIN_OUTPUT = 256
_COMFORTABLE_OUTPUT = 4096

NO_PRICES: Callable[[str], Price | None] = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Estimate:
    """Upper bounds of the tokens that a request can use.

    `has_long_writes`: it may write cache entries that live for an hour, which cost more.
    """

    model: str
    input_tokens: int
    output_tokens: int
    has_long_writes: bool = False


@dataclass(eq=False)
class Reservation:
    """What is reserved for one request; `output_tokens` is the output granted to it."""

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
    """One task's budget within one attempt; `used_*` start at what earlier attempts used."""

    def __init__(
        self,
        limits: model.Budget | None = None,
        prices: Callable[[str], Price | None] = NO_PRICES,
        used_tokens: int = 0,
        used_micro_usd: int = 0,
        read_limits: Callable[[], Awaitable[model.Budget | None]] | None = None,
    ) -> None:
        self.is_exceeded = False
        """Whether a request was refused; from then on only a last one passes, after `allow_last`."""
        self.had_last = False
        """Whether the agent got its last request under the present limits."""
        self._was_refused = False
        self._limits = limits
        self._read_limits = read_limits
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

    @property
    def limits(self) -> model.Budget | None:
        return self._limits

    @property
    def is_pausing(self) -> bool:
        """Whether the task waits for a larger budget once this one is used up."""
        return self._limits is not None and self._limits.is_pausing

    def set_limits(self, limits: model.Budget | None) -> bool:
        """Go on with these limits, which the client may have changed. False: they are the present ones."""
        if limits == self._limits:
            return False
        self._limits = limits
        self.is_exceeded = self.had_last = self._is_last_open = False
        self._wake()
        return True

    async def refresh(self) -> bool:
        """Read the limits again. False: they have not changed."""
        return self._read_limits is not None and self.set_limits(await self._read_limits())

    async def begin_prompt(self) -> None:
        """Read the limits again, and forget the refusals of earlier prompts."""
        await self.refresh()
        self._was_refused = False

    def is_raised_after_refusal(self) -> bool:
        """Whether a request was refused, and the limits have changed since. True once for each refusal."""
        is_raised = self._was_refused and not self.is_exceeded
        self._was_refused = self._was_refused and self.is_exceeded
        return is_raised

    def allow_last(self) -> None:
        """Let one more request pass, with a short output, if it fits."""
        self._is_last_open = self.had_last = True

    async def reserve(self, estimate: Estimate) -> Reservation | None:
        """Reserve what the request can use. None: it would exceed a limit, and so the budget is exceeded."""
        while True:
            if reservation := self._try(estimate):
                return reservation
            if not self._in_flight or not self._could_fit(estimate):
                if await self.refresh():
                    continue
                self.is_exceeded = self._was_refused = True
                self._is_last_open = False
                self._wake()
                return None
            await self._settled.wait()

    def reserve_aside(self, estimate: Estimate) -> Reservation | None:
        """Reserve for an optional request. None: it does not fit now; the budget is not exceeded by that."""
        return None if self.is_exceeded else self._try(estimate, is_lowered=False)

    def release(self, reservation: Reservation) -> None:
        """Give the reservation back: the request was not sent, or the provider refused it."""
        self._close(reservation)
        self._is_last_open = self._is_last_open or reservation.is_last

    def settle(self, reservation: Reservation, usage: Usage | None, *, is_complete: bool) -> Usage:
        """Count what the response used, and return it with its cost.

        A provider also charges for output that it produced after the connection broke, reasoning included. So if the
        response ended before its usage was reported, all that was reserved counts as used.
        """
        self._close(reservation)
        reported = usage or Usage(reservation.model, 0, 0)
        input_tokens, output_tokens = reported.input_tokens, reported.output_tokens
        if not is_complete:
            input_tokens = input_tokens or reservation.input_tokens
            output_tokens = max(output_tokens, reservation.output_tokens)
        micro_usd = self._cost(reservation, reported, input_tokens, output_tokens, is_complete)
        self._used_tokens += input_tokens + output_tokens
        self._used_micro_usd += micro_usd
        unreported = input_tokens + output_tokens - reported.input_tokens - reported.output_tokens
        return replace(reported, unreported_tokens=unreported, cost_micro_usd=micro_usd)

    def _cost(
        self,
        reservation: Reservation,
        reported: Usage,
        input_tokens: int,
        output_tokens: int,
        is_complete: bool,
    ) -> int:
        price = self._prices(reservation.model)
        if price is None:
            return 0
        if reported.input_tokens:
            return price.cost(
                input_tokens,
                output_tokens,
                reported.cache_read_tokens,
                reported.cache_write_tokens,
                reported.long_cache_write_tokens,
            )
        return price.cost(input_tokens, output_tokens) if is_complete else reservation.micro_usd

    def _close(self, reservation: Reservation) -> None:
        assert reservation.is_open
        reservation.is_open = False
        self._in_flight.discard(reservation)
        self._wake()

    def _wake(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()

    def _try(self, estimate: Estimate, *, is_lowered: bool = True) -> Reservation | None:
        if self._limits is None:
            return Reservation(estimate.model)
        if self.is_exceeded and not self._is_last_open:
            return None
        reserved = self._in_flight
        output = self._grant(estimate, sum(r.tokens for r in reserved), sum(r.micro_usd for r in reserved))
        if output is None or (output < estimate.output_tokens and not is_lowered):
            return None
        max_cost = self._max_cost(estimate, output)
        reservation = Reservation(estimate.model, estimate.input_tokens, output, max_cost, self.is_exceeded)
        self._is_last_open = False
        reserved.add(reservation)
        return reservation

    def _could_fit(self, estimate: Estimate) -> bool:
        """Whether it would fit if all requests in flight used nothing."""
        return (not self.is_exceeded or self._is_last_open) and self._grant(estimate, 0, 0) is not None

    def _grant(self, estimate: Estimate, reserved_tokens: int, reserved_micro_usd: int) -> int | None:
        """The output that the request may have; None: too little is left."""
        output = min(estimate.output_tokens, LAST_OUTPUT) if self.is_exceeded else estimate.output_tokens
        by_cost = self._left_by_cost(estimate, output, reserved_micro_usd)
        if by_cost is None:
            return None
        left = min(self._left_by_tokens(estimate, output, reserved_tokens), by_cost)
        if left >= output:
            return output
        if not self.is_exceeded:
            left = max(min(left, _COMFORTABLE_OUTPUT), left // 2)
        return left if left >= _MIN_OUTPUT else None

    def _left_by_tokens(self, estimate: Estimate, output: int, reserved_tokens: int) -> int:
        """The output tokens that the token limit leaves, at most `output`."""
        assert self._limits is not None
        if self._limits.max_tokens is None:
            return output
        kept_free = 0 if self.is_exceeded else estimate.input_tokens + LAST_OUTPUT
        free = self._limits.max_tokens - self._used_tokens - reserved_tokens - kept_free
        return min(output, free - estimate.input_tokens)

    def _left_by_cost(self, estimate: Estimate, output: int, reserved_micro_usd: int) -> int | None:
        """The output tokens that the cost limit leaves, at most `output`; None: the model has no price to limit by."""
        assert self._limits is not None
        if self._limits.max_cost_micro_usd is None:
            return output
        price = self._prices(estimate.model)
        if price is None:
            return None
        kept_free = 0 if self.is_exceeded else self._max_cost(estimate, LAST_OUTPUT)
        free = self._limits.max_cost_micro_usd - self._used_micro_usd - reserved_micro_usd - kept_free
        affordable = price.affordable_output(
            free, estimate.input_tokens, has_long_writes=estimate.has_long_writes
        )
        return output if affordable is None else min(output, affordable)

    def _max_cost(self, estimate: Estimate, output: int) -> int:
        price = self._prices(estimate.model)
        return (
            price.max_cost(estimate.input_tokens, output, has_long_writes=estimate.has_long_writes)
            if price
            else 0
        )
