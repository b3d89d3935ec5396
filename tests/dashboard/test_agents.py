"""Agents: cards, the editor with its review, versions that are compared and activated, copies, archiving."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.acceptance.bed import Client, Platform

from .conftest import PHONE, account_of, watched

PROMPT = "You check invoices.\nYou count every line twice.\nYou write a report.\n"


def review(page: Page) -> None:
    page.get_by_role("button", name="Review changes").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_an_edit_is_reviewed_saved_and_survives_a_conflict(browser: Browser, client: Client) -> None:
    agent = client.post("/agents", name="Auditor", basePrompt=PROMPT)["id"]
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("409",)) as seen:
        page = seen.open("/agents")
        expect(page.get_by_text("no runs in 7 days").first).to_be_visible()
        page.get_by_label("Find an agent by its name").fill("audit")
        expect(page).to_have_url(re.compile("q=audit"))
        page.get_by_role("link", name="Auditor").click()
        prompt = page.get_by_label("Prompt")
        expect(prompt).to_have_value(PROMPT)
        prompt.fill(PROMPT.replace("count every line twice", "count every line"))
        page.get_by_label("Time limit, minutes").fill("20")
        page.locator("input[type=file]").first.set_input_files(
            {"name": "rules.md", "mimeType": "text/markdown", "buffer": b"# Rules\n"}
        )
        expect(page.get_by_role("button", name="Remove rules.md")).to_be_visible()
        page.get_by_role("link", name="Usage").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Go back").click()
        expect(page).to_have_url(re.compile(f"/agents/{agent}"))

        client.http.patch(f"/agents/{agent}", json={"defaults": {"maxRuntimeSeconds": 600}})
        review(page)
        diff = page.get_by_role("dialog")
        expect(diff.get_by_role("table", name="Prompt")).to_contain_text("count every line twice")
        expect(diff.locator("mark")).to_have_text(" twice")
        expect(diff.get_by_role("row", name="Time limit")).to_contain_text("20 min")
        expect(diff.get_by_text("rules.md")).to_be_visible()
        assert seen.faults() == []
        diff.get_by_role("button", name="Save as version 2").click()
        expect(diff.get_by_role("alert")).to_contain_text("Version 2 was saved meanwhile")
        expect(diff.get_by_role("row", name="Time limit")).to_contain_text("10 min")
        diff.get_by_role("button", name="Save as version 3").click()
        expect(page.get_by_text("Saved as version 3.").first).to_be_visible()
        expect(page.get_by_role("button", name="Review changes")).to_be_disabled()
        version = client.get(f"/agents/{agent}")["currentVersion"]
        assert (version["number"], len(version["referenceFileIds"])) == (3, 1)
        assert "twice" not in version["basePrompt"]

        compare_versions(page, agent)
        expect(page.get_by_text("v1", exact=True).first).to_be_visible()
        assert client.get(f"/agents/{agent}")["currentVersion"]["number"] == 1
        page.get_by_role("link", name="Run with this version v3").click()
        expect(page.get_by_label("Version", exact=True)).to_have_value(version["id"])
        page.go_back()
        page.get_by_role("tab", name="Runs").click()
        expect(page.get_by_text("This agent has not run yet")).to_be_visible()
        assert seen.faults() == []


def compare_versions(page: Page, agent: str) -> None:
    """Compare 1 with 3 by a link that survives a reload, and make 1 the current one."""
    page.get_by_role("tab", name="Versions").click()
    page.get_by_label("Compare version 3").check()
    page.get_by_label("Compare version 1").check()
    comparison = page.locator("section", has=page.get_by_role("heading", name="v1 → v3"))
    expect(comparison.locator("mark")).to_have_text(" twice")
    page.reload()
    expect(comparison.get_by_role("row", name="Time limit")).to_contain_text("20 min")
    page.get_by_role("button", name="Activate v1").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("prompt, time limit")
    expect(asked).to_contain_text("reference files")
    asked.get_by_role("button", name="Activate").click()
    expect(page.get_by_text("Version 1 is the current one.").first).to_be_visible()


def test_a_standard_agent_is_copied_and_an_own_one_archived(browser: Browser, platform: Platform) -> None:
    client = account_of(platform)
    viewer = client.post("/api-keys", name="Looks", role="viewer")["key"]
    with watched(browser, client.base_url, api_key=client.api_key, viewport=PHONE) as seen:
        page = seen.open("/agents")
        expect(page.get_by_text("You have no agent of your own yet")).to_be_visible()
        page.get_by_role("link", name="Coding").click()
        expect(page.get_by_label("Prompt")).to_be_disabled()
        page.get_by_role("link", name="Copy to my agents").click()
        page.get_by_label("Name").first.fill("Reviewer")
        page.get_by_role("button", name="Create the agent").click()
        page.wait_for_url(re.compile("/agents/agt_"))
        expect(page.get_by_role("heading", name="Reviewer", exact=True)).to_be_visible()
        seen.settle()
        assert seen.faults() == []
        page.get_by_role("button", name="Archive").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Archive").click()
        expect(page.get_by_text("This agent is archived.")).to_be_visible()
        page.get_by_role("button", name="Restore").click()
        expect(page.get_by_text("This agent is archived.")).to_have_count(0)
        path = page.url.removeprefix(client.base_url)
    with watched(browser, client.base_url, api_key=viewer, allowed=("404",)) as seen:
        page = seen.open(path)
        expect(page.get_by_label("Prompt")).to_be_disabled()
        expect(page.get_by_role("button", name="Archive")).to_have_count(0)
        page.goto(f"{client.base_url}/agents/agt_nobody")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
