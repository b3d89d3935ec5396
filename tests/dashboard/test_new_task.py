"""New task: the draft with its files and options, what it will run with, one dispatch, and running a task again."""

import re
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from tests.acceptance.bed import Client, Platform, finish, script

from .conftest import PHONE, account_of, watched

UPLOAD = re.compile("/uploads/upl_")
SCHEMA = '{"type": "object", "required": ["regions"]}'
FILES: list[Any] = [
    {"name": "sales.csv", "mimeType": "text/csv", "buffer": b"region,amount\nnorth,3\n"},
    {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Notes\n"},
]
DROP = """(name) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["dropped"], name, { type: "text/plain" }));
  const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("dragover", options));
  document.body.dispatchEvent(new DragEvent("drop", options));
}"""
PASTE = """(name) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["pasted"], name, { type: "text/plain" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
}"""


def row_of(page: Page, name: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=name)


def test_a_draft_with_files_and_options_is_dispatched_once_and_run_again(
    browser: Browser, client: Client
) -> None:
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("400",)) as seen:
        page = seen.open("/tasks/new")
        instructions = script(finish())
        page.get_by_label("Instructions").fill(instructions)
        page.locator("input[type=file]").first.set_input_files(FILES)
        page.evaluate(DROP, "dropped.txt")
        page.evaluate(PASTE, "pasted.txt")
        for name in ("sales.csv", "notes.md", "dropped.txt", "pasted.txt"):
            expect(row_of(page, name)).to_be_visible()
        row_of(page, "pasted.txt").get_by_role("button", name="Remove pasted.txt").click()
        expect(row_of(page, "pasted.txt")).to_have_count(0)
        write_options(page)
        runs_with = page.locator("section", has=page.get_by_role("heading", name="It will run with"))
        expect(runs_with.get_by_role("row", name="Time limit")).to_contain_text("15 min")
        expect(runs_with.get_by_role("row", name="Time limit")).to_contain_text("yours")
        expect(runs_with.get_by_text("$99.50")).to_be_visible()
        page.get_by_role("tab", name="CLI").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("--budget 0.5")
        expect(page.get_by_text("The draft is saved in this browser.")).to_be_visible()
        page.wait_for_timeout(400)  # the draft is saved a moment after the last change
        assert seen.faults() == []

        seen.open("/tasks/new")
        expect(page.get_by_label("Instructions")).to_have_value(instructions)
        expect(row_of(page, "dropped.txt")).to_be_visible()
        page.get_by_label("Instructions").focus()
        page.keyboard.press("Control+Enter")
        page.keyboard.press("Control+Enter")
        page.wait_for_url(re.compile("/tasks/tsk_"))
        [task] = client.get("/tasks")["data"]
        client.wait(task["id"])
        task = client.task(task["id"])
        assert len(task["inputFileIds"]) == 3
        assert task["metadata"] == {"order": 7}
        assert task["overrides"]["outputPolicy"]["files"][0]["jsonSchema"]["required"] == ["regions"]
        assert task["overrides"]["maxRuntimeSeconds"] == 900

        page.get_by_role("link", name="Run again").first.click()
        expect(page.get_by_label("Instructions")).to_have_value(instructions)
        expect(row_of(page, "dropped.txt")).to_be_visible()
        expect(page.get_by_label("Time limit, minutes")).to_have_value("15")
        expect(page.get_by_label("JSON Schema")).to_have_value(re.compile("regions"))
        seen.open("/tasks/new")
        expect(page.get_by_label("Instructions")).to_have_value("")
        assert seen.faults() == []


def write_options(page: Page) -> None:
    """Fill in the folded options; wrong text is told at its field, by the page or by the API."""
    page.get_by_text("Options", exact=True).click()
    metadata = page.get_by_label("Metadata, as JSON")
    metadata.fill("{")
    expect(page.get_by_role("alert").filter(has_text="This is not JSON")).to_be_visible()
    metadata.fill('{"order": 7}')
    page.get_by_label("Time limit, minutes").fill("15")
    page.get_by_label("Budget, US dollars").fill("0.5")
    page.get_by_label("Output files").select_option("named")
    page.get_by_label("Name", exact=True).fill("report")
    page.get_by_label("JSON Schema").fill('{"type": 5}')
    expect(page.get_by_label("JSON Schema")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("JSON Schema").fill(SCHEMA)
    page.get_by_role("switch", name="Required").click()
    expect(page.get_by_label("JSON Schema")).not_to_have_attribute("aria-invalid", "true")


def test_a_dispatch_waits_for_uploads_and_an_upload_is_retried(browser: Browser, client: Client) -> None:
    held: list[Route] = []
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("net::ERR",)) as seen:
        page = seen.open("/tasks/new")
        page.get_by_label("Instructions").fill(script(finish()))
        page.route(UPLOAD, lambda route: route.abort())
        page.locator("input[type=file]").first.set_input_files([FILES[0]])
        expect(row_of(page, "sales.csv")).to_contain_text("The server cannot be reached")
        page.unroute(UPLOAD)
        page.route(UPLOAD, lambda route: held.append(route))
        page.get_by_role("button", name="Retry sales.csv").click()
        expect(page.get_by_role("progressbar", name="sales.csv")).to_be_visible()
        page.get_by_role("button", name="Dispatch", exact=True).click()
        expect(page.get_by_text("Waits for 1 upload…")).to_be_visible()
        assert client.get("/tasks")["data"] == []
        held[0].continue_()
        page.wait_for_url(re.compile("/tasks/tsk_"))
        assert len(client.get("/tasks")["data"]) == 1


def test_what_refuses_a_task_is_told_where_it_is(browser: Browser, platform: Platform) -> None:
    poor = account_of(platform, credit="0.2")
    viewer = poor.post("/api-keys", name="Looks", role="viewer")["key"]
    with watched(
        browser, poor.base_url, api_key=poor.api_key, allowed=("402", "400"), viewport=PHONE
    ) as seen:
        page = seen.open("/tasks/new")
        page.get_by_label("Instructions").fill("Count.")
        expect(page.get_by_text("Your balance is $0.200; a task sets $0.500 aside.")).to_be_visible()
        page.get_by_role("button", name="Dispatch", exact=True).click()
        expect(page.get_by_text("The balance does not cover what a task sets aside")).to_be_visible()
        page.get_by_role("button", name="Add a repository").click()
        page.get_by_label("URL", exact=True).fill("ftp://example.com/a.git")
        expect(page.get_by_label("URL", exact=True)).to_have_attribute("aria-invalid", "true")
        assert seen.faults() == []
    with watched(browser, poor.base_url, api_key=viewer) as seen:
        seen.page.goto(f"{poor.base_url}/tasks/new")
        expect(seen.page.get_by_text("Your key may read, but not change.")).to_be_visible()
