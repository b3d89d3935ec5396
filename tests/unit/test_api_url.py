"""The URL of the API: for clients on this machine, and as a request names it."""

import pytest

from agentcontainer import settings
from agentcontainer.api_url import is_every_address, local_url, url_of_request
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.hibernation import wake_links


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("192.0.2.10", "http://192.0.2.10:8080"),
        ("agents.example.com", "http://agents.example.com:8080"),
        ("2001:db8::1", "http://[2001:db8::1]:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("0", "http://127.0.0.1:8080"),
        ("", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:8080"),
    ],
)
def test_a_client_on_this_machine_reaches_every_host_to_listen_on(host: str, url: str) -> None:
    assert local_url(host, 8080) == url
    assert is_every_address(host) == (
        url in ("http://127.0.0.1:8080", "http://[::1]:8080") and host != "127.0.0.1"
    )


@pytest.mark.parametrize(
    "header",
    ["192.168.0.7:8080", "192.168.0.7", "[2001:db8::1]:8080", "[::1]", "localhost:8080", "LOCALHOST"],
)
def test_an_address_in_the_host_header_is_where_the_api_was_reached(header: str) -> None:
    assert url_of_request(header) == f"http://{header.lower()}"


@pytest.mark.parametrize(
    "header",
    [
        "", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "127.1",
        "0x7f.0.0.1", "300.1.1.1", "1.2.3.4:0", "1.2.3.4:70000", "1.2.3.4:", "1.2.3.4:80/x", "a@1.2.3.4", "[::1",
        "[fe80::1%25eth0]", "[1.2.3.4]x", "[1:2]", "::1", "1.2.3.4\nx", "1.2.3.4 ", "localhost:80?x",
    ],
)  # fmt: skip
def test_anything_else_in_the_host_header_is_not_used(header: str) -> None:
    assert url_of_request(header) is None


def test_a_wake_link_is_a_whole_url_also_without_a_public_url() -> None:
    vault = Vault("k" * 32)
    assert wake_links.url_of(settings.load(port=8765), vault, "wkl_1").startswith(
        "http://127.0.0.1:8765/wake/wkl_1-"
    )
    configured = settings.load(public_url="https://agents.example.com")
    assert wake_links.url_of(configured, vault, "wkl_1").startswith("https://agents.example.com/wake/wkl_1-")
