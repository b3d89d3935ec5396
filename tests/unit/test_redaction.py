"""The key's bytes never pass the redactor, however the stream is cut into chunks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentcontainer.redaction import Redactor, encodings_of, redact, redact_text

# Few letters, so that beginnings of the key overlap; none of them occurs in "[redacted]".
letters = st.text("sk-01", min_size=4, max_size=12)
pieces = st.lists(st.tuples(st.text("sk-01\n", max_size=9), st.booleans()), max_size=8)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A key, and a stream that holds it a few times, in chunks."""
    key = draw(letters)
    whole = "".join(text + (key if with_key else "") for text, with_key in draw(pieces)).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    edges = [0, *cuts, len(whole)]
    return key, [whole[start:end] for start, end in pairwise(edges)]


@given(streams())
def test_the_key_is_redacted_and_all_other_bytes_pass(stream: tuple[str, list[bytes]]) -> None:
    key, chunks = stream
    redactor = Redactor(encodings_of(key))
    passed = b""
    for number, chunk in enumerate(chunks):
        passed += redactor.feed(chunk)
        arrived = b"".join(chunks[: number + 1]).replace(key.encode(), b"[redacted]")
        assert len(arrived) - len(passed) < len(key), "only the beginning of a key may be held back"
    passed += redactor.end()
    assert key.encode() not in passed
    assert passed == b"".join(chunks).replace(key.encode(), b"[redacted]")


def test_a_chunk_that_cannot_begin_a_key_passes_at_once() -> None:
    redactor = Redactor(encodings_of("sk-secret-key"))
    assert redactor.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert redactor.feed(b"data: sk-sec") == b"data: "
    assert redactor.feed(b"ond\n") == b"sk-second\n"


def test_escaped_forms_of_a_key_are_redacted_too() -> None:
    key = 'k/"1+äß'
    secrets = encodings_of(key)
    for form in (key, 'k/\\"1+\\u00e4\\u00df', 'k\\/\\"1+\\u00e4\\u00df', "k%2F%221%2B%C3%A4%C3%9F"):
        assert redact(f"<{form}>".encode(), secrets) == b"<[redacted]>"


def test_text_is_redacted_even_with_lone_surrogates() -> None:
    assert "secret" not in redact_text("a\ud800 secret", encodings_of("secret"))


def test_without_a_key_all_text_passes_unchanged() -> None:
    redactor = Redactor(())
    assert redactor.feed(b"anything") + redactor.end() == b"anything"
