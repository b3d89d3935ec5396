"""Makes the ids of all objects: a prefix, `_`, and 26 characters that sort by the time of creation."""

import secrets
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: its order is its ASCII order


def bounds(prefix: str, moment: datetime) -> tuple[str, str]:
    """The lowest and the highest id that can have been made in the millisecond of `moment`."""
    milliseconds = min(max(0, int(moment.timestamp() * 1000)), 2**48 - 1)
    low = milliseconds << 80
    return _id(prefix, low), _id(prefix, low + 2**80 - 1)


def new_id(prefix: str) -> str:
    """A new id such as `tsk_01k…`: 48 bits of milliseconds, then 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return _id(prefix, number)


def _id(prefix: str, number: int) -> str:
    return prefix + "_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
