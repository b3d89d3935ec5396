"""Text from outside cannot control a terminal, forge a log line, or reverse the text around it."""

from agentcontainer.printable import printable, without_controls

HOSTILE = "a\x1b[31mb\r\nc\u202ed\u2028e\x00\ud800é😀"


def test_printable_is_one_line_without_what_steers() -> None:
    assert printable(HOSTILE) == "a[31mbcdeé😀"
    assert printable("a\x07b", "?") == "a?b"


def test_controls_become_blanks_and_the_rest_stays() -> None:
    assert without_controls(HOSTILE) == "a [31mb \nc\u202ed e  é😀"
    assert without_controls("a\tb\u2029", separators=False) == "a\tb\u2029"
    assert without_controls("a\tb\nc", keep="\n") == "a b\nc"
