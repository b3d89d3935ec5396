"""Which URL is reached through which proxy."""

import pytest

from agentcontainer.errors import SettingsError
from agentcontainer.proxies import Proxies, has_password, host_and_port

PROXY, TLS_PROXY = "http://proxy.corp:3128", "http://user:secret@tls.corp"
BOTH = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": TLS_PROXY}


def test_the_scheme_selects_the_proxy() -> None:
    proxies = Proxies.of(BOTH)
    assert proxies.for_url("http://api.example/v1") == PROXY
    assert proxies.for_url("https://api.example/v1") == TLS_PROXY
    assert Proxies.of({}).for_url("https://api.example/v1") is None
    assert Proxies.of({"HTTPS_PROXY": "", "http_proxy": "proxy:1"}).for_url("http://x") == "http://proxy:1"
    assert Proxies.of(BOTH | {"https_proxy": "http://lower:1"}).for_url("https://x") == "http://lower:1"


@pytest.mark.parametrize(
    "url", ["http://localhost:9000", "http://127.0.0.1", "https://[::1]:4", "http://127.9.9.9/x"]
)
def test_this_machine_is_reached_directly(url: str) -> None:
    assert Proxies.of(BOTH).for_url(url) is None


@pytest.mark.parametrize(
    ("entry", "host", "is_direct"),
    [
        ("*", "api.example", True),
        ("api.example", "api.example", True),
        ("API.example.", "api.example.", True),
        ("example", "api.example", True),
        (".example", "api.example", True),
        ("*.example", "api.example", True),
        (" other , api.example ", "api.example", True),
        ("ample", "api.example", False),
        ("pi.example", "api.example", False),
        ("api.example:443", "api.example", True),
        ("api.example:8443", "api.example", False),
        ("api.example:8443", "api.example:8443", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("", "api.example", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(entry: str, host: str, is_direct: bool) -> None:
    assert (Proxies.of(BOTH | {"NO_PROXY": entry}).for_url(f"https://{host}/v1") is None) == is_direct


@pytest.mark.parametrize(
    "value", ["socks5://proxy:1", "http://", "http://proxy:x", "http://u:secret@", "a b:\n"]
)
def test_a_wrong_proxy_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY is wrong: must be an http") as refused:
        Proxies.of({"https_proxy": value})
    assert "secret" not in str(refused.value)


def test_a_password_is_found_and_never_shown() -> None:
    assert has_password(TLS_PROXY)
    assert not has_password(PROXY)
    assert "secret" not in repr(Proxies.of(BOTH))
    assert host_and_port(TLS_PROXY) == ("tls.corp", 80)
    assert host_and_port("https://proxy") == ("proxy", 443)
