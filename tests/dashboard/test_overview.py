"""The overview, and the first run: from an empty account to a result."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client, Platform

from .conftest import World, account_of, watched

pytestmark = pytest.mark.long


def test_the_first_run_ends_in_a_result(browser: Browser, platform: Platform) -> None:
    client = account_of(platform, provider_keys=False)
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/")
        expect(page.get_by_text("It is no AI")).to_be_visible()
        assert seen.faults() == []
        page.get_by_role("button", name="Run the example without AI").click()
        page.get_by_role("link", name="Open the result").click(timeout=60_000)
        expect(page.get_by_role("button", name=re.compile(r"^report\.md"))).to_be_visible()
        assert seen.faults() == []


def test_a_key_is_stored_from_the_first_step(browser: Browser, platform: Platform) -> None:
    client = account_of(platform, provider_keys=False)
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/")
        page.get_by_label("Key", exact=True).fill("sk-test-0123456789abcdefghijklmnop")
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_text("A key is stored.")).to_be_visible()
        expect(page.get_by_role("button", name="Run the example", exact=True)).to_be_visible()
        assert client.get("/provider-keys")["data"][0]["last4"] == "mnop"
        page.get_by_role("button", name="Skip to the overview").click()
        expect(page.get_by_text("Nothing waits for you.")).to_be_visible()


def test_what_needs_the_user_and_what_runs(browser: Browser, world: World, client: Client) -> None:
    with watched(browser, world.client.base_url, api_key=world.client.api_key) as seen:
        page = seen.open("/")
        waits = page.locator("section", has=page.get_by_role("heading", name="Needs you"))
        for title in ("Asleep", "About the sales", "One that fails"):
            expect(waits.get_by_role("link", name=title)).to_be_visible()
        runs = page.locator("section", has=page.get_by_role("heading", name="Running now"))
        expect(runs.get_by_role("link", name="One that runs")).to_be_visible()
