"""In which requests a session's cookie counts, without a server. `tests/integration/api/test_cross_site.py` has one."""

import pytest
from fastapi import Request
from fastapi.routing import APIRoute

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http import browser
from agentcontainer.errors import Misdirected
from agentcontainer.settings import Settings

PUBLIC = Settings(public_url="https://agents.example.com", allowed_hosts=("box.lan",))
TOKEN = "t" * 43


def route(name: str) -> APIRoute:
    return next(route for route in ROUTES if route.name == name)


def request(method: str = "GET", of: str = "get_account", scheme: str = "http", **headers: str) -> Request:
    names = {"host": "127.0.0.1:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http", "method": method, "scheme": scheme, "path": "/", "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
            "client": ("192.0.2.1", 1), "server": ("10.0.0.7", 8080), "route": route(of),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "is_ours"),
    [
        (request(sec_fetch_site="same-origin"), True),
        (request("POST", sec_fetch_site="same-origin"), True),
        (request(sec_fetch_site="same-site"), False),
        (request(sec_fetch_site="cross-site", x_ac_ui="1"), False),
        (request(sec_fetch_site="none"), False),
        (request(sec_fetch_site="none", of="download_file"), True),
        (request("HEAD", sec_fetch_site="none", of="download_file"), True),
        (request("DELETE", sec_fetch_site="none", of="download_file"), False),
        (request(), False),
        (request(of="download_file"), False),
        (request(x_ac_ui="1"), True),
        (request(x_ac_ui="1", origin="http://127.0.0.1:1"), True),  # it needed a preflight, which is refused
        (request(x_ac_ui="2"), False),
        (request("POST", x_ac_ui="1"), False),
        (request("POST", x_ac_ui="1", origin="http://127.0.0.1:8080"), True),
        (request("POST", x_ac_ui="1", origin="https://127.0.0.1:8080"), False),
        (request("POST", x_ac_ui="1", origin="http://127.0.0.1:1"), False),
        (request("POST", x_ac_ui="1", origin="https://agents.example.com"), True),
        (request("POST", x_ac_ui="1", origin="null"), False),
    ],
)
def test_only_our_own_pages_count(sent: Request, is_ours: bool) -> None:
    assert browser.is_of_own_page(sent, PUBLIC) is is_ours


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8080", True), ("localhost", True), ("app.localhost:1", True), ("[::1]:8080", True),
        ("127.8.8.8", True), ("10.0.0.7:8080", True), ("agents.example.com", True), ("AGENTS.example.com.", True),
        ("box.lan:8080", True), ("10.0.0.8", False), ("evil.example", False), ("agents.example.com.evil", False),
        ("localhost.evil", False), ("box.lan@evil", False), ("", False), ("169.254.169.254", False),
    ],
)  # fmt: skip
def test_host_names_are_ours_or_refused(host: str, is_ours: bool) -> None:
    if is_ours:
        browser.check_host(request(host=host), PUBLIC)
    else:
        with pytest.raises(Misdirected):
            browser.check_host(request(host=host), PUBLIC)


def test_the_cookie_is_named_by_scheme_and_port() -> None:
    plain, proxied = Settings(), Settings(trusted_proxies=("192.0.2.1",))
    cookies = f"ac_session_8080={TOKEN}; __Host-ac_session={TOKEN[::-1]}x"
    assert browser.token_of(request(cookie=cookies), plain) == TOKEN
    assert browser.token_of(request(cookie=cookies), PUBLIC) == f"{TOKEN}x"
    assert browser.token_of(request(cookie=cookies, x_forwarded_proto="https"), proxied) == f"{TOKEN}x"
    assert browser.token_of(request(cookie=cookies, x_forwarded_proto="https"), plain) == TOKEN
    assert browser.token_of(request(cookie="ac_session_80=x"), plain) is None
    assert (
        browser.token_of(request(cookie=f"ac_session_8080={TOKEN}; ac_session_8080={TOKEN}"), plain) is None
    )
    assert browser.token_of(request(cookie="ac_session_8080=<script>"), plain) is None
