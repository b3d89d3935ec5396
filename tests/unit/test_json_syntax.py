"""JSON from untrusted programs: what only Python accepts, and what would cost too much to parse, is refused."""

import pytest

from agentcontainer.json_syntax import TooManyValues, loads


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", '"\x01"', "[" * 100_000])
@pytest.mark.parametrize("is_strict", [True, False])
def test_invalid_json_is_refused(text: str, is_strict: bool) -> None:
    with pytest.raises(ValueError):
        loads(text, is_strict=is_strict)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]', "1e999"])
def test_strict_refuses_what_parsers_read_differently(text: str) -> None:
    loads(text, is_strict=False)
    with pytest.raises(ValueError):
        loads(text, is_strict=True)


@pytest.mark.parametrize("text", ['[1, 2, {"a": "b"}]', b'[1, 2, {"a": "b"}]'])
def test_the_number_of_values_is_bounded(text: str | bytes) -> None:
    assert loads(text, is_strict=True, max_values=4) == [1, 2, {"a": "b"}]
    with pytest.raises(TooManyValues):
        loads(text, is_strict=True, max_values=3)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"NaN": "\\"NaN", "a": [1,\n  NaN]}', "NaN is not JSON: line 2 column 3 (char 28)"),
        (b"[-Infinity]", "-Infinity is not JSON: line 1 column 2 (char 1)"),
        ("[1,]", "line 1 column 4"),
        pytest.param("9" * 10_000, "a number with 10000 digits is too long", id="long number"),
        ("[]".encode("utf-16"), "it is not UTF-8 (byte 0)"),
        ("[]".encode("utf-16-le"), "line 1 column 2"),
        ("[]".encode("utf-32"), "it is not UTF-8 (byte 0)"),
        (b'["\xe4"]', "it is not UTF-8 (byte 2)"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str | bytes, place: str) -> None:
    with pytest.raises(ValueError) as caught:
        loads(text, is_strict=False)
    assert place in str(caught.value)


def test_utf_8_with_a_byte_order_mark_is_accepted() -> None:
    assert loads(b'\xef\xbb\xbf["\xc3\xa4"]', is_strict=True) == ["ä"]
