"""A real browser, and a site of another origin with pages of a test."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.threaded_server import serving


class Handler(BaseHTTPRequestHandler):
    def __init__(self, pages: dict[str, str], *arguments: Any) -> None:
        self._pages = pages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0], "").encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Chromium, with these arguments of its command line."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "no Chromium: run `make setup-dev`"
    with sync_playwright() as playwright:
        # As root the browser has no sandbox; it opens nothing but our own pages here.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--no-proxy-server", *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def site() -> Iterator[tuple[str, dict[str, str]]]:
    """The origin of a site, and its pages by path."""
    contents: dict[str, str] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, contents))
    with serving(server) as address:
        yield f"http://{address}", contents
