"""Inputs that are almost valid: seeds with parts of them cut, copied, repeated or replaced."""

from hypothesis import strategies as st

from tests.fuzz.target import Target

_HOSTILE = (
    *(
        b"",
        b"\0",
        b"\n",
        b"\r\n",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\x1b[31m",
        "\u202e".encode(),
    ),
    *(
        b"../",
        b"/",
        b"%00",
        b"NaN",
        b"1e999",
        b"-1",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b",",
        b"\xc0\x0c",
    ),
    *(b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"a" * 300, b"\0" * 512),
)
_PLACE = st.floats(0, 1, exclude_max=True)
_EDIT = st.tuples(
    _PLACE, st.integers(0, 12), st.sampled_from(_HOSTILE) | st.binary(max_size=6), st.integers(1, 3)
)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes for a target: mutated seeds, and now and then any bytes at all."""
    mutated = st.builds(_edited, st.sampled_from(target.seeds), st.lists(_EDIT, max_size=6))
    return st.one_of(mutated, mutated, mutated, st.binary(max_size=200))


def _edited(seed: bytes, edits: list[tuple[float, int, bytes, int]]) -> bytes:
    data = bytearray(seed)
    for position, cut, added, times in edits:
        start = int(position * (len(data) + 1))
        data[start : start + cut] = added * times
    return bytes(data)
