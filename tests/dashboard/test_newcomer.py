"""The way of somebody who has read nothing: from the printed link to an own agent that has run with two files."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.bed import Platform

from .conftest import account_of, watched


@pytest.mark.long
def test_from_the_printed_link_to_an_own_agent(browser: Browser, platform: Platform, tmp_path: Path) -> None:
    client = account_of(platform, provider_keys=False)
    link = platform.admin("login-link", "--account", client.account_id)["url"]
    with watched(browser, client.base_url, allowed=("401", "409")) as seen:
        page = seen.page
        page.goto(f"{client.base_url}/login#{link.partition('#')[2]}")
        page.get_by_role("button", name="Yes, log in").click()
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        assert "#" not in page.url
        run_the_example(page, tmp_path)
        store_a_key(page)
        make_and_change_an_agent(page)
        run_it_with_two_files(page, tmp_path)
        assert seen.faults() == []
    [task, example] = client.get("/tasks")["data"]
    assert example["execution"]["provider"] == "offline"
    assert client.wait(task["id"])["status"] == "finished"
    assert len(client.task(task["id"])["inputFileIds"]) == 2


def run_the_example(page: Page, folder: Path) -> None:
    """Run it without a key, watch it, and download its report."""
    page.get_by_role("button", name="Run the example without AI").click()
    page.get_by_role("link", name=re.compile("Watch it|Open the result")).click()
    expect(page.get_by_role("feed")).to_contain_text("report.md", timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("link", name="Download report.md").click(timeout=60_000)
    download.value.save_as(folder / "report.md")
    assert "No AI was involved" in (folder / "report.md").read_text()


def store_a_key(page: Page) -> None:
    page.get_by_role("link", name="Overview").click()
    page.get_by_label("Key", exact=True).fill("sk-test-0123456789abcdefghijklmnop")
    page.get_by_role("button", name="Store").click()
    expect(page.get_by_text("A key is stored.")).to_be_visible()


def make_and_change_an_agent(page: Page) -> None:
    """Make an agent, change its prompt, and compare the two versions."""
    page.get_by_role("link", name="Agents").click()
    page.get_by_role("link", name="New agent").first.click()
    page.get_by_label("Name").first.fill("Analyst")
    page.get_by_label("Prompt").fill("You compare tables.")
    page.get_by_label("Provider").select_option("offline")
    page.get_by_role("button", name="Create the agent").click()
    expect(page.get_by_role("heading", name="Analyst", exact=True)).to_be_visible()
    page.get_by_label("Prompt").fill("You compare tables, and write what differs.")
    page.get_by_role("button", name="Review changes").click()
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_text("Saved as version 2.")).to_be_visible()
    page.get_by_role("tab", name="Versions").click()
    page.get_by_label("Compare version 1").check()
    page.get_by_label("Compare version 2").check()
    expect(page.locator("mark").first).to_be_visible()


def run_it_with_two_files(page: Page, folder: Path) -> None:
    for name in ("january.csv", "february.csv"):
        (folder / name).write_text(f"region,amount\nnorth,{len(name)}\n")
    page.get_by_role("link", name="New task").last.click()
    expect(page.get_by_label("Agent")).to_contain_text("Analyst · v2")
    page.get_by_label("Instructions").fill("Compare the two tables. Write report.md.")
    page.locator("input[type=file]").first.set_input_files([folder / "january.csv", folder / "february.csv"])
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile("/tasks/tsk_"))
    expect(page.get_by_role("link", name="Download report.md")).to_be_visible(timeout=60_000)
