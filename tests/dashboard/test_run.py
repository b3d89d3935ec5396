"""The page of a task: live, ended, failed, asleep; steering, cancelling, waking; links, filters, keys."""

import re

from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client, Platform, finish, script, waiting

from .conftest import World, account_of, until, watched


def test_a_running_task_is_followed_to_its_end_without_a_reload(
    browser: Browser, client: Client, platform: Platform
) -> None:
    task_id = client.dispatch(
        script(
            {"say": "I look at it.", "bash": "echo first"}, waiting(then="echo second"),
            {"slow": 2, "say": "Almost there, I write the report now."}, {"bash": "echo '# Report' > report.md"},
            finish("report.md", message="The report is **ready**."),
        ),
        title="Live",
    )  # fmt: skip
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/tasks/{task_id}")
        expect(page.get_by_role("feed").get_by_text("I look at it.")).to_be_visible()
        expect(page.locator("main header").get_by_text("running")).to_be_visible()
        client.until_event(task_id, lambda event: event["type"] == "tool.completed")
        platform.unblock(task_id)
        expect(page.get_by_text("The report is ready.")).to_be_visible(timeout=60_000)
        expect(page.locator("main header").get_by_text("finished")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("^report.md"))).to_be_visible()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        page.get_by_role("button", name=re.compile("^report.md")).click()
        expect(page.get_by_role("dialog").get_by_role("heading", name="Report", exact=True)).to_be_visible()
        assert "file=file_" in page.url
        assert seen.faults() == []


def test_steer_and_cancel(browser: Browser, client: Client) -> None:
    task_id = client.dispatch(script(waiting(), finish()), title="Stop me")
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/tasks/{task_id}")
        page.get_by_role("button", name="Message", exact=True).click()
        page.get_by_role("dialog").get_by_label("Message").fill("Hurry up.")
        page.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(page.get_by_role("feed").get_by_text("Hurry up.")).to_be_visible()
        page.keyboard.press("x")
        expect(page.get_by_role("alertdialog")).to_contain_text("Stop me")
        page.get_by_role("button", name="Cancel the task").click()
        expect(page.locator("main header").get_by_text("cancelled")).to_be_visible()
        assert client.task(task_id)["status"] == "cancelled"
        assert seen.faults() == []


def test_wake(browser: Browser, client: Client) -> None:
    task_id = client.dispatch(
        script(
            {"bash": 'hibernate --message "Waiting for the review." --for 2d'},
            finish(message="Woken and done."),
        )
    )
    client.wait(task_id, "hibernating")
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(f"/tasks/{task_id}")
        expect(page.get_by_text("Waiting for the review.").first).to_be_visible()
        page.get_by_role("button", name="Wake", exact=True).click()
        page.get_by_role("dialog").get_by_label("Message").fill("Approved.")
        page.get_by_role("dialog").get_by_role("button", name="Wake", exact=True).click()
        expect(page.get_by_text("Woken and done.").first).to_be_visible(timeout=60_000)
        assert seen.faults() == []


def test_a_failure_says_what_it_means_and_what_to_do(
    browser: Browser, world: World, platform: Platform
) -> None:
    poor = account_of(platform, provider_keys=False)
    task_id = poor.dispatch("Anything.", title="Without a key")
    poor.wait(task_id, "failed")
    with watched(browser, poor.base_url, api_key=poor.api_key) as seen:
        page = seen.open(f"/tasks/{task_id}")
        expect(page.get_by_role("alert")).to_contain_text("provider_key_missing")
        expect(page.get_by_role("alert")).to_contain_text("Its time was not charged.")
        page.get_by_role("link", name="Store a key").click()
        expect(page).to_have_url(re.compile("/keys"))


def test_links_filters_search_and_unknown_ids(browser: Browser, world: World) -> None:
    client = world.client
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("404",)) as seen:
        page = seen.open(f"/tasks/{world.finished}?tab=timeline&show=errors")
        rows = page.get_by_role("article")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("exit 3")
        started = rows.first.get_attribute("id")
        page.goto(f"{client.base_url}/tasks/{world.finished}#{started}")
        expect(page.locator(f"#{started}")).to_have_class(re.compile("bg-accent-soft"))
        page.get_by_label("Find in loaded events").fill("sales.csv")
        expect(page).to_have_url(re.compile("find=sales.csv"))
        expect(page.get_by_text(re.compile(r"\d+ found"))).to_be_visible()
        page.goto(f"{client.base_url}/tasks/tsk_00000000000000000000000000")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_nothing_is_lost_while_the_api_restarts(browser: Browser, client: Client, platform: Platform) -> None:
    task_id = client.dispatch(
        script({"bash": "echo before"}, waiting(), {"bash": "echo after"}, finish(message="Ended."))
    )
    client.until_event(task_id, lambda event: event["type"] == "tool.completed")
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("ERR_", "503", "502")) as seen:
        page = seen.open(f"/tasks/{task_id}")
        expect(page.get_by_role("feed").get_by_text("echo before")).to_be_visible()
        platform.kill_and_wait_for_next("api")
        platform.unblock(task_id)
        client.wait(task_id, "finished")
        expect(page.get_by_text("Ended.").first).to_be_visible(timeout=45_000)
        shown = page.get_by_role("article").count()
        until(lambda: page.get_by_role("article").count() == shown, 5)
        expect(page.get_by_role("feed").get_by_text("echo after")).to_be_visible()
        assert [fault for fault in seen.faults() if not fault.startswith("foreign")] == []
