"""Who sent a request, as far as the headers of trusted proxies can be believed."""

import pytest

from agentcontainer.api.http.sender import Sender, sender_of
from agentcontainer.settings import Settings

PROXIED = Settings(trusted_proxies=("10.0.0.0/8", "2001:db8:1::1"))


def sent(settings: Settings, peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> Sender:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return sender_of(
        {"type": "http", "client": peer and (peer, 1), "headers": raw, "scheme": scheme}, settings
    )


def test_headers_are_believed_of_trusted_proxies_only() -> None:
    forged = ("X-Forwarded-For", "203.0.113.9")
    https = ("X-Forwarded-Proto", "https")
    assert sent(Settings(), "192.0.2.1", forged, https) == Sender("192.0.2.1", "http")
    assert sent(PROXIED, "192.0.2.1", forged, https) == Sender("192.0.2.1", "http")
    assert sent(PROXIED, "10.0.0.1", forged, https) == Sender("203.0.113.9", "https")
    assert sent(PROXIED, None, forged) == Sender(None, "http")
    assert sent(Settings(), "192.0.2.1", scheme="https").scheme == "https"


@pytest.mark.parametrize(
    ("header", "value", "address"),
    [
        ("X-Forwarded-For", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("X-Forwarded-For", "198.51.100.7, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9:4711", "203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("X-Forwarded-For", "10.0.0.2", "10.0.0.2"),
        ("X-Forwarded-For", "", "10.0.0.1"),
        ("X-Forwarded-For", ",".join(["203.0.113.9"] * 51), "10.0.0.1"),
        ("Forwarded", 'for=198.51.100.7, for="[2001:db8::7]:4711";proto=https', "2001:db8::7"),
        ("Forwarded", "for=198.51.100.7;by=10.0.0.2, For=203.0.113.9", "203.0.113.9"),
        ("Forwarded", "for=_hidden", "10.0.0.1"),
        ("Forwarded", "proto=https", "10.0.0.1"),
        ("X-Forwarded-For", "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_client_is_the_rightmost_untrusted_address(header: str, value: str, address: str) -> None:
    assert sent(PROXIED, "10.0.0.1", (header, value)).address == address


def test_a_client_cannot_choose_the_header_that_is_believed() -> None:
    both = (("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=198.51.100.7"))
    assert sent(PROXIED, "10.0.0.1", *both).address == "10.0.0.1"
    same = (("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"))
    assert sent(PROXIED, "10.0.0.1", *same).address == "203.0.113.9"
