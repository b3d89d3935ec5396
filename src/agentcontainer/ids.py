"""Makes the ids of all objects: a prefix, `_`, and 26 characters that sort by the time of creation."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: its order is its ASCII order


def new_id(prefix: str) -> str:
    """A new id such as `tsk_01k…`: 48 bits of milliseconds, then 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return prefix + "_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
