"""The list of tasks: filters in the URL, live rows, selection, views, the empty states."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client, finish, script

from .conftest import World, watched


def test_filters_are_in_the_url_and_survive_a_reload(browser: Browser, world: World) -> None:
    client = world.client
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/tasks")
        expect(page.get_by_role("row")).to_have_count(6)  # with the head
        page.get_by_role("button", name="More filters").click()
        page.get_by_label("failed").check()
        expect(page.get_by_role("row")).to_have_count(2)
        expect(page).to_have_url(re.compile("status=failed"))
        page.get_by_label("your turn").check()
        expect(page.get_by_role("row")).to_have_count(3)
        page.reload()
        expect(page.get_by_role("row")).to_have_count(3)
        page.get_by_role("button", name="Remove the filter status: failed").click()
        expect(page.get_by_role("row")).to_have_count(2)
        page.goto(f"{client.base_url}/tasks?metadata=order:7")
        expect(page.get_by_role("row")).to_have_count(2)
        page.get_by_label("Search by id or words of the title").fill("nothing of that name")
        expect(page.get_by_text("No task matches.")).to_be_visible()
        page.get_by_role("link", name="Clear filters").click()
        expect(page.get_by_role("row")).to_have_count(6)
        assert seen.faults() == []


def test_rows_change_live_and_new_tasks_do_not_move_them(browser: Browser, client: Client) -> None:
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/tasks")
        expect(page.get_by_text("No tasks yet")).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        task_id = client.dispatch(script(finish()), title="Comes later")
        page.get_by_role("button", name="1 new").click()
        expect(page.get_by_role("link", name="Comes later")).to_be_visible()
        expect(page.get_by_role("row").nth(1)).to_contain_text("finished")
        client.wait(task_id)
        assert seen.faults() == []


def test_select_cancel_and_copy(browser: Browser, client: Client) -> None:
    ids = [client.dispatch(script({"hang": 60}), title=f"Number {number}") for number in range(2)]
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/tasks")
        for number in range(2):
            page.get_by_label(f"Select Number {number}").check()
        expect(page.get_by_role("toolbar")).to_contain_text("2 selected")
        page.get_by_role("toolbar").get_by_role("button", name="Cancel").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Cancel the tasks").click()
        expect(page.get_by_role("row").nth(1)).to_contain_text("cancelled")
        assert {client.task(task_id)["status"] for task_id in ids} == {"cancelled"}
        assert seen.faults() == []


def test_views_are_kept_in_the_browser(browser: Browser, world: World) -> None:
    client = world.client
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/tasks?status=failed")
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="Save this view").click()
        page.get_by_label("Name of the view").fill("Broken")
        page.keyboard.press("Enter")
        page.goto(f"{client.base_url}/tasks")
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="Broken", exact=True).click()
        expect(page).to_have_url(re.compile("status=failed"))


@pytest.mark.long
def test_the_keyboard(browser: Browser, world: World) -> None:
    client = world.client
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/tasks?status=failed&status=finished")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"/tasks/{world.failed}|/tasks/{world.finished}"))
        first = page.url
        seen.settle()
        page.keyboard.press("]")
        expect(page).not_to_have_url(first)
        seen.settle()
        page.keyboard.press("[")
        expect(page).to_have_url(first)
        page.keyboard.press("g")
        page.keyboard.press("a")
        expect(page.get_by_role("heading", name="Agents", exact=True)).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("command palette")
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").fill("first quarter")
        expect(page.get_by_role("option", name=re.compile("Sales of the first quarter"))).to_be_visible()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(world.finished))
        assert seen.faults() == []


def test_the_api_is_away_and_comes_back(browser: Browser, world: World) -> None:
    client = world.client
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("ERR_",)) as seen:
        page = seen.open("/tasks")
        page.context.set_offline(True)
        expect(page.get_by_text("No connection.")).to_be_visible(timeout=15_000)
        expect(page.get_by_role("link", name="One that fails")).to_be_visible()
        page.context.set_offline(False)
        expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=45_000)
