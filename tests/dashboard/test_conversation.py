"""A conversation: messages, files, what the agent did in between, a failed turn, its end."""

import re

from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client, script

from .conftest import watched


def test_talk_turn_by_turn(browser: Browser, client: Client) -> None:
    task_id = client.begin("Hello.", title="Talk")
    client.wait(task_id, "awaiting_input")
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/conversations/{task_id}")
        expect(page.get_by_text(re.compile("You said: Hello."))).to_have_count(1)
        expect(page.locator("main header").get_by_text("your turn")).to_be_visible()
        field = page.get_by_label("Message to the agent")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Add files").click()
        chooser.value.set_files([{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"one\n"}])
        expect(page.get_by_text("100 %")).to_be_visible()
        field.fill(script({"bash": "cat task_files/notes.txt"}, {"bash": "true"}, {"say": "I have read it."}))
        field.press("Control+Enter")
        expect(page.get_by_text("I have read it.").last).to_be_visible(timeout=45_000)
        expect(page.get_by_text("notes.txt").first).to_be_visible()
        page.get_by_role("button", name=re.compile("used 2 tools")).click()
        expect(page.get_by_text("cat task_files/notes.txt").last).to_be_visible()
        expect(field).to_have_value("")
        assert seen.faults() == []


def test_a_turn_that_failed_is_sent_again(browser: Browser, client: Client) -> None:
    task_id = client.begin(
        script({"error": 400, "message": "out of order", "times": 1}, {"say": "Now it works."})
    )
    client.wait(task_id, "awaiting_input")
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/conversations/{task_id}")
        expect(page.get_by_text("The turn failed").first).to_contain_text("out of order")
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_text("Now it works.").last).to_be_visible(timeout=45_000)
        expect(page.get_by_role("button", name="Send again")).to_have_count(0)


def test_end(browser: Browser, client: Client) -> None:
    task_id = client.begin("Hello.", title="To be ended")
    client.wait(task_id, "awaiting_input")
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/conversations/{task_id}")
        page.get_by_role("button", name="End", exact=True).click()
        expect(page.get_by_role("alertdialog")).to_contain_text("To be ended")
        page.get_by_role("alertdialog").get_by_role("button", name="End").click()
        expect(page.get_by_text("This conversation has ended.")).to_be_visible()
        expect(page.get_by_label("Message to the agent")).to_have_count(0)
        assert seen.faults() == []
