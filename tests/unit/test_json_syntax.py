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
