"""What can be fuzzed: a function that takes any bytes, and fails only if one of our promises is broken."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """`run` raises for bytes that show a fault; `seeds` are valid inputs to start from."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def pieces(data: bytes) -> tuple[list[bytes], bytes]:
    """`data` as a stream that arrives in odd pieces, whose sizes its first byte chooses; and the whole of it."""
    if not data:
        return [], b""
    size, stream = data[0] % 13 + 1, data[1:]
    return [stream[start : start + size] for start in range(0, len(stream), size)], stream
