"""One platform and one browser for all tests of the dashboard."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from tests.acceptance.bed import Client, Platform, finish, script, waiting
from tests.acceptance.conftest import scripted_url
from tests.browser import chromium

__all__ = ["scripted_url"]
ROOT = Path(__file__).parents[2]
AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 800}
expect.set_options(timeout=20_000)  # tests run on busy machines
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""

_SETTLED = """
(document.querySelector("h1") || document.querySelector("main")?.innerText.trim())
  && !document.querySelector('[aria-label="Loading…"]')
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all of them, so that they share the platform and the browser."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group("dashboard"))


# Of the package, not of the session: while Playwright runs, the worker can run no other event loop.
@pytest.fixture(scope="package")
def platform(scripted_url: str) -> Iterator[Platform]:
    with Platform(scripted_url, capacity="4", private_hosts="127.0.0.1") as platform:
        yield platform


@pytest.fixture(scope="package")
def browser(platform: Platform) -> Iterator[Browser]:  # the platform starts with an event loop of its own
    with chromium() as running:
        yield running


def account_of(platform: Platform, **options: Any) -> Client:
    """A new account. It is made in a thread, because Playwright's event loop runs in that of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(partial(platform.account, **options)).result()


@pytest.fixture
def client(platform: Platform) -> Client:
    """An account with $100 and a key for each provider."""
    return account_of(platform)


@dataclass(frozen=True)
class World:
    """An account that has one of everything."""

    client: Client
    finished: str
    failed: str
    running: str
    asleep: str
    conversation: str
    agent: str
    webhook: str
    login: str


@pytest.fixture(scope="package")
def world(platform: Platform) -> World:
    client = account_of(platform)
    uploaded = client.upload("sales.csv", b"region,amount\nnorth,3\nsouth,4\n", "text/csv")
    report = "printf '# Sales\\n\\nNorth sells **best**.\\n' > report.md"
    finished = client.dispatch(
        script({"bash": "cat task_files/sales.csv"}, {"bash": "exit 3"}, {"bash": report}, finish("report.md")),
        title="Sales of the first quarter", inputFileIds=[uploaded], metadata={"order": "7"},
    )  # fmt: skip
    failed = client.dispatch(script({"error": 400, "message": "no such model"}), title="One that fails")
    conversation = client.begin("Which region sells best?", title="About the sales")
    asleep = client.dispatch(
        script({"bash": 'hibernate --message "Waiting for the review." --for 2d'}, finish()), title="Asleep"
    )
    for task_id, status in ((finished, "finished"), (failed, "failed"), (asleep, "hibernating")):
        client.wait(task_id, status)
    client.wait(conversation, "awaiting_input")
    running = client.dispatch(
        script({"say": "I begin.", "bash": "echo one"}, waiting(), finish()), title="One that runs"
    )
    client.until_event(running, lambda event: event["type"] == "tool.completed")
    agent = client.post("/agents", name="Accountant", basePrompt="You count.\nTwice.")["id"]
    webhook = client.post("/webhooks", url="https://hooks.example.com/agents")["id"]
    login = client.post("/cli-logins", hostname="laptop")["id"]
    return World(client, finished, failed, running, asleep, conversation, agent, webhook, login)


@dataclass
class Watched:
    """A page, and what must not happen on it."""

    page: Page
    base_url: str
    console: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def foreign(self) -> list[str]:
        """What was fetched from elsewhere. A request that the content security policy blocks is not sent."""
        return [
            f"{request.url} ({request.failure})"
            for request in self.requests
            if request.failure not in ("csp", "net::ERR_BLOCKED_BY_CSP")
        ]

    def open(self, path: str) -> Page:
        """Open a path and wait until what it shows has been loaded."""
        self.page.goto(self.base_url + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until no placeholder is shown, and nothing changes for a moment."""
        until(
            lambda: self.page.evaluate(_SETTLED), 20
        )  # wait_for_function would need eval, which the policy forbids
        self.page.wait_for_timeout(150)

    def faults(self) -> list[str]:
        """What went wrong so far: refused by the policy, written to the console, sent elsewhere, hard to use."""
        kinds = {
            "policy": self.page.evaluate("window.violations"), "console": self.console, "foreign": self.foreign,
            "axe": self.accessibility(), "layout": self.overflow(),
        }  # fmt: skip
        return [f"{kind}: {fault}" for kind, faults in kinds.items() for fault in faults]

    def accessibility(self) -> list[str]:
        """What axe finds serious or critical."""
        results = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})"
        )
        return [
            f"{violation['id']}: {node['html'][:300]} {node['failureSummary'][:300]}"
            for violation in results["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def overflow(self) -> list[str]:
        """Whether the page is wider than its window."""
        wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return [f"{wider} px wider than the window"] if wider > 0 else []


@contextmanager
def watched(
    browser: Browser,
    base_url: str,
    *,
    api_key: str | None = None,
    allowed: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[Watched]:
    """A new browser profile, logged in with the key. `allowed`: parts of console messages that are expected."""
    context = browser.new_context(**{"viewport": WIDE} | options)
    context.set_default_timeout(20_000)
    context.add_init_script(_WATCH)
    context.add_init_script(path=AXE)
    if api_key is not None:
        log_in(context, base_url, api_key)
    result = Watched(context.new_page(), base_url)

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in allowed):
            result.console.append(message.text)

    def on_request(request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme not in ("data", "blob") and f"{target.scheme}://{target.netloc}" != base_url:
            result.requests.append(request)

    result.page.on("console", on_console)
    result.page.on("pageerror", lambda error: result.console.append(str(error)))
    result.page.on("request", on_request)
    try:
        yield result
    finally:
        context.close()


def log_in(context: BrowserContext, base_url: str, api_key: str) -> None:
    """Give the profile a session, as the login page would."""
    response = context.request.post(
        f"{base_url}/session", data={"apiKey": api_key}, headers={"X-AC-UI": "1", "Origin": base_url}
    )
    assert response.status == 204, response.text()


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for the condition.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
