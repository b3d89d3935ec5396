"""Computes the cost of model requests, from the operator's price file if it names the model, else from the catalogue.

USD per million tokens are micro-dollars per token. Amounts are exact until they are rounded up to whole micro-dollars.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from agentcontainer.domain.models import catalogue
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.price_file import PriceFile
from agentcontainer.providers import OFFLINE

_LONG_WRITE = 2  # at Anthropic, writing a cache entry that lives an hour costs twice the input rate


@dataclass(frozen=True)
class Price:
    """The rates of one model. A request costs the rates of the highest tier whose threshold its input exceeds."""

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()

    def cost(
        self, input_: int, output: int, cache_read: int = 0, cache_write: int = 0, long_write: int = 0
    ) -> int:
        """The cost of one request, in micro-dollars. `input_` includes the tokens read from and written to the cache;
        `long_write` is part of `cache_write`."""
        tiers = [tier for tier in self.tiers if input_ > tier[0]]
        rates = max(tiers, key=lambda tier: tier[0])[1] if tiers else self.rates
        fresh = max(0, input_ - cache_read - cache_write)
        short_write = max(0, cache_write - long_write)
        return _up(
            fresh * rates.input
            + cache_read * rates.cache_read
            + short_write * rates.cache_write
            + long_write * rates.input * _LONG_WRITE
            + output * rates.output
        )

    def max_cost(self, input_: int, output: int, *, has_long_writes: bool = False) -> int:
        """The maximum cost of a request with these token counts, in micro-dollars, however it uses the cache."""
        return _up(
            input_ * self._dearest_input(input_, has_long_writes) + output * self._dearest_output(input_)
        )

    def affordable_output(self, micro_usd: int, input_: int, *, has_long_writes: bool = False) -> int | None:
        """How many output tokens `micro_usd` pay for in addition to the input; None: any number, because they are free.

        -1: the money does not even pay for the input.
        """
        left = micro_usd - input_ * self._dearest_input(input_, has_long_writes)
        rate = self._dearest_output(input_)
        if rate == 0:
            return None if left >= 0 else -1
        return int(left // rate) if left >= 0 else -1

    def _possible(self, input_: int) -> list[Rates]:
        return [self.rates, *(rates for above, rates in self.tiers if input_ > above)]

    def _dearest_input(self, input_: int, has_long_writes: bool) -> Decimal:
        return max(
            max(rates.input * (_LONG_WRITE if has_long_writes else 1), rates.cache_read, rates.cache_write)
            for rates in self._possible(input_)
        )

    def _dearest_output(self, input_: int) -> Decimal:
        return max(rates.output for rates in self._possible(input_))


FREE = Price(Rates(Decimal(0), Decimal(0), Decimal(0), Decimal(0)))


def find(provider: str, model: str, file: PriceFile | None) -> Price | None:
    """The price of the provider's `model`, spelled with dots or dashes; None: it is not known."""
    if provider == OFFLINE.name:
        return FREE
    model_id = catalogue.wire_id(provider, model)
    for id_, rates in file.prices.get(provider, {}).items() if file else ():
        if catalogue.wire_id(provider, id_) == model_id:
            input_ = rates["input"]
            return Price(Rates(
                input_, rates["output"], rates.get("cacheRead", input_), rates.get("cacheWrite", input_)
            ))  # fmt: skip
    entry = catalogue.find(provider, model)
    if entry is None or not (entry.rates.output or model_id.endswith((":free", "/free"))):
        return None  # the price of a router depends on the model that it chooses
    return Price(entry.rates, entry.tiers)


def of_endpoint(rates: Rates | None) -> Price | None:
    """The price of every model of an account's own endpoint; None: it is not known."""
    return Price(rates) if rates else None


def _up(micro_usd: Decimal) -> int:
    return int(micro_usd.to_integral_value(rounding=ROUND_CEILING))
