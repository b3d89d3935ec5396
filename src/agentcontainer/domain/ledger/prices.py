"""Computes the price of container time, and writes amounts of money as text."""

MICROSECONDS_PER_SECOND = 1_000_000


def container_cost_micro_usd(container_micro_seconds: int, micro_usd_per_minute: int) -> int:
    """The cost of container time, metered per started second: 61.2 s at $0.05 a minute is 62 s, $0.051667.

    Rounded to the nearest micro-dollar, halves up.
    """
    seconds = -(-container_micro_seconds // MICROSECONDS_PER_SECOND)
    return (seconds * micro_usd_per_minute + 30) // 60


def dollars(micro_usd: int) -> str:
    """The exact amount as text, with at least two decimals: $0.50, $0.499999, -$3.00."""
    whole, rest = divmod(abs(micro_usd), 1_000_000)
    decimals = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro_usd < 0 else ''}${whole}.{decimals}"
