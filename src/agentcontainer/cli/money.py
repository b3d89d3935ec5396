"""Converts between USD amounts and micro-dollars."""

import re
from decimal import Decimal

from agentcontainer.errors import ValidationError

AMOUNT = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)


def micro_usd(text: str) -> int:
    """The micro-dollars of an amount such as `12.50`.

    Raises:
        ValidationError: it is not an amount from 0 to 999999999.999999 in digits.
    """
    if not AMOUNT.fullmatch(text):
        raise ValidationError(
            f"{text!r} is not an amount in USD: write digits such as 12.50, "
            "at most 9 before the point and 6 after it."
        )
    return int(Decimal(text) * 1_000_000)


def usd(micro: int) -> float:
    """The amount in USD, for JSON."""
    return micro / 1_000_000
