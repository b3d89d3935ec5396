"""A page in a real browser follows a task with `EventSource`, from another origin than the API's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from agentcontainer.domain.tasks.events import EVENT_TYPES
from tests.browser import chromium, site

from .conftest import Client, Platform, finish, script

PAGE = """<!doctype html><title>Follow</title><script>
const seen = [], states = [], stray = [];
const source = new EventSource(%s);
source.onopen = () => states.push("open");
source.onerror = () => states.push(source.readyState === EventSource.CLOSED ? "closed" : "connecting");
source.onmessage = (event) => stray.push(event.data);
for (const type of %s)
  source.addEventListener(type, (event) => seen.push([event.lastEventId, type, JSON.parse(event.data)]));
</script>"""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def pages() -> Iterator[tuple[str, dict[str, str]]]:
    """The origin of a site, and its pages by path."""
    with site() as running:
        yield running


def follow(page: Page, site: tuple[str, dict[str, str]], url: str) -> None:
    """Open a page that follows this stream."""
    origin, contents = site
    contents["/"] = PAGE % (json.dumps(url), json.dumps([*EVENT_TYPES, "message.delta"]))
    page.goto(origin)


def closed(page: Page) -> tuple[list[Any], list[str]]:
    """The events and the states of the EventSource, when it has stopped reconnecting."""
    page.wait_for_function("states.includes('closed')", timeout=60_000)
    page.wait_for_timeout(2500)  # long enough for two reconnections
    assert page.evaluate("stray") == []
    return page.evaluate("seen"), page.evaluate("states")


def test_a_task_from_beginning_to_end(
    shared_platform: Platform, client: Client, browser: Browser, pages: tuple[str, dict[str, str]]
) -> None:
    steps = [
        {"bash": "sleep 2; echo one"},
        {"say": "I shall look again.", "bash": "sleep 1; echo two"},
        finish(),
    ]
    task_id = client.dispatch(script(*steps))
    path = f"/api/v1/tasks/{task_id}/events"
    page = browser.new_page()
    follow(page, pages, f"{shared_platform.base_url}{path}?stream=true&apiKey={client.api_key}")
    page.wait_for_function("seen.length > 0")
    assert client.task(task_id)["status"] != "finished", "the page follows while the task is running"
    events, states = closed(page)

    log = client.events(task_id)
    stored = [(number, kind, data) for number, kind, data in events if kind != "message.delta"]
    assert [int(number) for number, _, _ in stored] == list(range(1, len(log) + 1))
    assert [data for _, _, data in stored] == log
    assert stored[-1][1] == "task.finished"
    assert {"tool.started", "tool.completed"} <= {kind for _, kind, _ in stored}
    assert states == ["open", "connecting", "closed"], (
        "the second connection got 204, so it stopped reconnecting"
    )
    assert shared_platform.log().count(f"GET {path} 204") == 1
    text = "".join(data["data"]["content"] for _, kind, data in events if kind == "message.delta")
    assert "I shall look again." in text, "deltas arrived before the message was complete"

    key = client.api_key.encode()
    assert key not in shared_platform.log_path.read_bytes()
    assert len(shared_platform.files_with(b"")) > 100
    assert shared_platform.files_with(key) == [], "the API key is in no log and not in the database"


def test_a_browser_stops_reconnecting_with_a_wrong_key(
    shared_platform: Platform, client: Client, browser: Browser, pages: tuple[str, dict[str, str]]
) -> None:
    task_id = client.dispatch(script(finish()))
    path = f"/api/v1/tasks/{task_id}/events"
    page = browser.new_page()
    follow(page, pages, f"{shared_platform.base_url}{path}?stream=true&apiKey=ac_live_wrong")
    assert closed(page) == ([], ["closed"])
    assert shared_platform.log().count(f"GET {path} 401") == 1
    client.wait(task_id)
