"""Logging in and out: with a key, with a link, and what is refused."""

import re

from playwright.sync_api import Browser, expect

from tests.acceptance.bed import Client

from .conftest import World, log_in, watched

WRONG = "ac_live_" + "0" * 40


def test_a_key_logs_in_and_leads_back_to_the_page_that_was_asked_for(
    browser: Browser, client: Client
) -> None:
    with watched(browser, client.base_url, allowed=("401",)) as seen:
        page = seen.open("/agents?tab=x")
        expect(page).to_have_url(re.compile(r"/login\?to="))
        field = page.get_by_label("API key")
        field.fill(WRONG)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        field.fill(client.api_key)
        field.press("Enter")
        expect(page.get_by_role("heading", name="Agents", exact=True)).to_be_visible()
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert client.api_key not in stored
        assert seen.faults() == []
        page.get_by_role("button", name=re.compile("Test")).click()
        page.get_by_role("menuitem", name="Log out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        page.goto(f"{client.base_url}/tasks")
        expect(page.get_by_label("API key")).to_be_visible()


def test_a_link_of_another_account_asks_first_and_works_once(
    browser: Browser, client: Client, world: World
) -> None:
    link = client.post("/login-codes")["url"]
    code = link.partition("#")[2]
    with watched(browser, client.base_url, allowed=("401", "409")) as seen:
        page = seen.open(f"/login#{code}")
        assert code not in page.url
        expect(page.get_by_text("Log in to this account?")).to_be_visible()
        page.get_by_role("button", name="Yes, log in").click()
        expect(page.get_by_role("navigation").first).to_be_visible()
        assert code not in page.evaluate("location.href + JSON.stringify(history.state)")
        assert seen.faults() == []
    with watched(browser, client.base_url, allowed=("401",)) as seen:
        page = seen.open(f"/login#{code}")
        expect(page.get_by_role("alert")).to_contain_text("does not work any more")


def test_an_expired_session_leads_to_the_login_without_a_reload(browser: Browser, client: Client) -> None:
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("401",)) as seen:
        page = seen.open("/files")
        for session in client.get("/sessions")["data"]:
            client.http.delete(f"/sessions/{session['id']}")
        page.get_by_role("link", name="Usage").click()
        expect(page.get_by_label("API key")).to_be_visible()
        log_in(page.context, client.base_url, client.api_key)


def test_a_viewer_sees_no_button_that_would_fail(browser: Browser, world: World) -> None:
    client = world.client
    answer = client.http.post("/api-keys", json={"name": "looks only", "role": "viewer"})
    if answer.status_code == 400:  # this version has no roles of keys yet
        assert "role" in answer.text
        return
    with watched(browser, client.base_url, api_key=answer.json()["key"]) as seen:
        page = seen.open(f"/tasks/{world.running}")
        expect(page.get_by_role("heading", name="One that runs")).to_be_visible()
        for name in ("Cancel", "Message", "Run again", "New task"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
            expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)


def test_a_link_to_elsewhere_is_not_followed(browser: Browser, client: Client) -> None:
    with watched(browser, client.base_url, allowed=("401",)) as seen:
        page = seen.open("/login?to=//evil.example/x")
        page.get_by_label("API key").fill(client.api_key)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        assert page.url == f"{client.base_url}/"
        assert seen.foreign == []
