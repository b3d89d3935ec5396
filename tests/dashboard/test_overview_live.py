"""The overview while things happen: a task appears, runs a tool and ends; operators see the installation's health."""

import subprocess

from playwright.sync_api import Browser, expect

from tests.acceptance.bed import COMMAND, Client, Platform, script, waiting

from .conftest import watched


def test_a_task_is_seen_running_and_ending_without_a_reload(
    browser: Browser, platform: Platform, client: Client
) -> None:
    command = [*COMMAND, "admin", "set-operator", client.account_id]
    subprocess.run(command, env=platform.environment, check=True, capture_output=True, timeout=60)
    first = client.dispatch(
        script({"error": 400, "message": "no such model", "times": 9}), title="Fails first"
    )
    client.wait(first)
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/")
        health = page.get_by_role("region", name="This installation")
        expect(health).to_contain_text("1 of 1 runners alive")
        waits = page.locator("section", has=page.get_by_role("heading", name="Needs you"))
        expect(waits).to_contain_text("The model's provider refused the requests.")
        expect(page.get_by_text("Nothing runs.")).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        task_id = client.dispatch(script({"bash": "echo one"}, waiting()), title="Runs now")
        runs = page.locator("section", has=page.get_by_role("heading", name="Running now"))
        expect(runs.get_by_role("link", name="Runs now")).to_be_visible()
        expect(runs).to_contain_text("until [ -e go ]", timeout=15_000)
        assert seen.faults() == []
        client.cancel(task_id)
        expect(page.get_by_text("Nothing runs.")).to_be_visible()
        today = page.locator("section", has=page.get_by_role("heading", name="Today"))
        expect(today).to_contain_text("cancelled")
        expect(today).to_contain_text("yesterday $0.00")
