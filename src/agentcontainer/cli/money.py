"""USD as people type it."""

import re
from decimal import Decimal

from agentcontainer.errors import ValidationError

AMOUNT = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)


def micro_usd(text: str) -> int:
    """Integer micro-dollars of an amount such as `12.50`.

    Raises:
        ValidationError: it is no plain amount from 0 to 999999999.999999.
    """
    if not AMOUNT.fullmatch(text):
        raise ValidationError(
            f"{text!r} is not an amount in USD: write digits such as 12.50, "
            "at most 9 before the point and 6 after it."
        )
    return int(Decimal(text) * 1_000_000)


def usd(micro: int) -> float:
    """The number that stands for it in JSON."""
    return micro / 1_000_000
