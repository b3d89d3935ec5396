"""A task of 99,000 events is shown, followed, searched and scrolled; `benchmarks/dashboard.py` measures it."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client, Platform, finish, script, waiting

from .conftest import watched
from .long_log import appending, fill

pytestmark = pytest.mark.long


def test_a_log_of_99_000_events(browser: Browser, client: Client, platform: Platform) -> None:
    task_id = client.dispatch(script(waiting(), finish()), title="Long")
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    fill(platform.data_dir, task_id)
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/tasks/{task_id}")
        feed = page.get_by_role("feed")
        expect(feed.get_by_text("echo step 49500")).to_be_visible()
        assert page.get_by_role("article").count() < 100
        with appending(platform.data_dir, task_id):
            expect(feed.get_by_text("echo live 20", exact=True)).to_be_visible(timeout=15_000)
            page.get_by_test_id("timeline").evaluate("list => list.scrollTop = 0")
            expect(feed.get_by_text("echo step 49445", exact=True)).to_be_attached(timeout=10_000)
            expect(page.get_by_role("button", name=re.compile(r"\d+ new"))).to_be_visible(timeout=10_000)
        page.get_by_role("button", name=re.compile(r"\d+ new")).click()
        expect(feed.get_by_text(re.compile("echo live"))).not_to_have_count(0)
        page.get_by_label("Find in loaded events").fill("step 49400")
        expect(page.get_by_role("article")).to_have_count(1)
        page.goto(f"{client.base_url}/tasks/{task_id}#e50000")
        expect(page.locator("#e50000, #e50001").first).to_be_visible()
        assert seen.faults() == []
    client.cancel(task_id)
