"""Files, webhooks, keys, the installation, and the approval of command lines: what people do there."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.bed import COMMAND, Client, Platform

from .conftest import World, until, watched

HOSTILE_ANSWER = (
    b"<img src=x onerror=window.pwned=1>\x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \xe2\x80\xaegnp.exe"
)


class Receiver(ThreadingHTTPServer):
    """Receives webhooks, and answers each with `status` and a hostile text."""

    status = 500
    received = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.rfile.read(int(self.headers["content-length"]))
        self.server.received += 1
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(HOSTILE_ANSWER)))
        self.end_headers()
        self.wfile.write(HOSTILE_ANSWER)

    def log_message(self, format: str, *_: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def press(page: Page, *names: str) -> None:
    """Press buttons one after the other, the topmost dialog's first."""
    for name in names:
        page.get_by_role("button", name=name, exact=True).last.click()


def choose(page: Page, menu: str, item: str) -> None:
    page.get_by_role("button", name=menu).first.click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def make_operator(platform: Platform, client: Client) -> None:
    command = [*COMMAND, "admin", "set-operator", client.account_id]
    subprocess.run(command, env=platform.environment, check=True, capture_output=True, timeout=60)


def viewer_of(client: Client) -> str:
    return client.post("/api-keys", name="For reading", role="viewer")["key"]


def test_files_are_filtered_looked_at_and_deleted(browser: Browser, world: World) -> None:
    client = world.client
    unused = client.upload("unused.json", b'{"a": {"b": [1, 2]}}', "application/json")
    kept = client.upload("kept.txt", b"reference", "text/plain")
    client.post("/agents", name="Reader", basePrompt="Read.", referenceFileIds=[kept])
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("404",)) as seen:
        page = seen.open("/files?kind=output")
        expect(page.get_by_role("row")).to_have_count(2)
        expect(page.get_by_role("link", name="report.md")).to_be_visible()
        expect(page.get_by_role("progressbar", name="Use of the file quota")).to_be_visible()
        page.get_by_label("From").select_option("upload")
        page.get_by_label("Type").select_option("application/json")
        expect(page.get_by_role("row")).to_have_count(2)
        page.get_by_role("main").focus()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        sheet = page.get_by_role("dialog")
        expect(sheet).to_contain_text("Nothing uses it.")
        expect(sheet).to_contain_text("a: {1}")
        expect(page).to_have_url(re.compile(f"file={unused}"))
        assert seen.faults() == []
        press(page, "Delete", "Delete")
        expect(page.get_by_text("No file matches")).to_be_visible()
        page.get_by_role("link", name="Clear the filters").click()
        expect(page.get_by_role("link", name="unused.json")).to_have_count(0)
        seen.open(f"/files?file={kept}")  # a deep link
        expect(sheet).to_contain_text("It cannot be deleted now")
        expect(sheet.get_by_role("link", name=re.compile("version 1"))).to_be_visible()
        expect(sheet.get_by_role("button", name="Delete")).to_be_disabled()
        seen.page.goto(f"{client.base_url}/files?file=file_none")
        expect(page.get_by_role("dialog")).to_contain_text("Not found")
    with watched(browser, client.base_url, api_key=viewer_of(client)) as seen:
        page = seen.open(f"/files?file={kept}")
        expect(page.get_by_role("dialog").get_by_role("link", name=re.compile("Download"))).to_be_visible()
        expect(page.get_by_role("button", name="Delete")).to_have_count(0)
        assert seen.faults() == []


def test_a_webhook_is_made_tried_repaired_and_switched_off(browser: Browser, client: Client) -> None:
    with (
        receiver() as hook,
        watched(browser, client.base_url, api_key=client.api_key, allowed=("400", "404")) as seen,
    ):
        page = seen.open("/webhooks")
        expect(page.get_by_text("No webhooks yet")).to_be_visible()
        press(page, "New webhook")
        page.get_by_label("URL").fill("https://user:password@hooks.example.com")
        press(page, "Create")
        expect(page.get_by_role("dialog").get_by_role("alert").first).to_be_visible()
        page.get_by_label("URL").fill(hook.url)
        press(page, "Create")
        expect(page.get_by_role("dialog")).to_contain_text("whsec_")
        press(page, "I have stored it")
        page.get_by_role("link", name=hook.url).click()
        page.get_by_role("heading", level=1, name=hook.url).wait_for()
        press(page, "Send test event", "Send test event")
        expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("Not delivered")
        expect(page.get_by_role("dialog")).to_contain_text("<img src=x onerror=window.pwned=1>")
        page.keyboard.press("Escape")
        client.begin("Hello")
        page.get_by_role("link", name="task.created").click()
        sheet = page.get_by_role("dialog")
        expect(sheet).to_contain_text("status 500")
        expect(sheet).to_contain_text("⟨U+202E⟩gnp.exe")
        expect(sheet).to_contain_text("Next attempt")
        assert page.evaluate("window.pwned") is None
        assert seen.faults() == []
        page.keyboard.press("Escape")
        choose(page, "More", "Rotate secret")
        press(page, "Rotate secret")
        expect(page.get_by_role("dialog")).to_contain_text("whsec_")
        press(page, "I have stored it")
        expect(page.get_by_role("main")).to_contain_text("Signed with the previous secret, too, until")
        choose(page, "More", "Switch off")
        press(page, "Switch off")
        expect(page.get_by_text("Somebody switched it off.")).to_be_visible()
        expect(page.get_by_role("button", name="Resend failed since…")).to_be_disabled()
        hook.status = 200
        press(page, "Switch on")
        expect(page.get_by_text("Somebody switched it off.")).to_have_count(0)
        press(page, "Resend failed since…", "Resend")
        page.get_by_role("button", name="delivered", exact=True).click()
        expect(page.get_by_role("cell", name="delivered").first).to_be_visible(timeout=20_000)
        assert seen.faults() == []


def test_keys_are_made_shown_once_changed_and_revoked(browser: Browser, client: Client) -> None:
    with watched(browser, client.base_url, api_key=client.api_key, allowed=("409", "404")) as seen:
        page = seen.open("/keys?new=true")
        page.get_by_label("Name", exact=True).fill("CI")
        page.get_by_label("Role").select_option("viewer")
        page.get_by_label("Expires").select_option("30")
        page.get_by_label("Tasks a day").fill("5")
        page.get_by_label("Cost a day, $").fill("2.5")
        press(page, "Create")
        dialog = page.get_by_role("dialog")
        line = dialog.get_by_text("export AGENTCONTAINER_API_KEY=").inner_text()
        key = line.partition("=")[2]
        answer = httpx2.get(f"{client.base_url}/api/v1/account", headers={"Authorization": f"Bearer {key}"})
        assert answer.json()["role"] == "viewer"
        press(page, "I have stored it")
        row = page.get_by_role("row").filter(has_text="CI")
        expect(row).to_contain_text(f"…{key[-4:]}")
        expect(row).to_contain_text("5 tasks a day · $2.50 a day")
        page.reload()
        assert key not in page.content()
        choose(page, "Actions of CI", "Revoke")
        revoke = page.get_by_role("alertdialog").get_by_role("button", name="Revoke", exact=True)
        expect(revoke).to_be_disabled()  # it was used a moment ago: its name must be typed
        page.get_by_role("alertdialog").get_by_role("textbox").fill("CI")
        revoke.click()
        expect(page.get_by_role("alertdialog")).to_have_count(0)
        expect(row).to_have_count(0)
        page.get_by_role("button", name=re.compile("^Actions of ")).click()
        page.get_by_role("menuitem", name="Revoke").click()
        name = page.get_by_role("alertdialog").get_by_role("textbox")
        name.fill(name.get_attribute("placeholder") or "")
        revoke.click()
        expect(page.get_by_role("alertdialog").get_by_role("alert")).to_be_visible()  # the last key cannot go
        page.keyboard.press("Escape")
        press(page, "Remove openai", "Remove")
        expect(page.get_by_role("listitem").filter(has_text="openai").first).to_contain_text("no key stored")
        press(page, "Set a key openai")
        page.get_by_label("Key of the provider").fill("sk-test-0123456789abcdefghijklmnop")
        press(page, "Save")
        expect(page.get_by_role("listitem").filter(has_text="openai").first).to_contain_text("…mnop")
        press(page, "Test openai")
        expect(page.get_by_role("listitem").filter(has_text="openai").get_by_role("status")).to_be_visible()
        expect(page.get_by_text("this browser")).to_be_visible()
        assert seen.faults() == []
    with watched(browser, client.base_url, api_key=viewer_of(client)) as seen:
        page = seen.open("/keys?new=true")
        expect(page.get_by_role("heading", name="API keys")).to_be_visible()
        for name in ("New API key", "Set a key", "Remove", "Log out", "Create"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        assert seen.faults() == []


def test_an_operator_looks_after_the_installation(
    browser: Browser, client: Client, platform: Platform
) -> None:
    make_operator(platform, client)
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open("/installation")
        expect(page.get_by_role("main")).to_contain_text("PostgreSQL")
        expect(page.get_by_role("table", name="API processes")).to_contain_text("alive")
        assert seen.faults() == []
        page.get_by_role("tab", name="Runners").click()
        try:
            press(page, re.compile("^Drain"), "Drain")  # type: ignore[arg-type]
            expect(page.get_by_role("table", name="Runners")).to_contain_text("draining")
            page.get_by_role("tab", name="Health").click()
            expect(page.get_by_role("alert")).to_contain_text("is drained")
        finally:
            seen.open("/installation?tab=runners")
            page.get_by_role("button", name=re.compile("Take tasks again")).click()
        expect(page.get_by_role("table", name="Runners")).to_contain_text("alive")
        assert seen.faults() == []
        page.get_by_role("tab", name="Queue").click()
        expect(page.get_by_role("list", name="Live tasks")).to_be_visible()
        page.get_by_role("tab", name="Accounts").click()
        press(page, "New account")
        page.get_by_label("Name", exact=True).fill("Team <b>")
        page.get_by_label("Credit, $").fill("5")
        press(page, "Create")
        expect(page.get_by_role("dialog")).to_contain_text("ac_live_")
        press(page, "I have stored it")
        choose(page, "Actions of Team <b>", "Add credit")
        page.get_by_label("Amount, $").fill("2.5")
        press(page, "Add")
        row = page.get_by_role("row").filter(has_text="Team <b>")
        expect(row).to_contain_text("$7.50")
        choose(page, "Actions of Team <b>", "Suspend")
        press(page, "Suspend")
        expect(row).to_contain_text("suspended")
        assert seen.faults() == []
        page.get_by_role("tab", name="Settings").click()
        page.get_by_label("Find a setting").fill("capacity")
        expect(page.get_by_role("table", name="Settings")).to_contain_text("AGENTCONTAINER_CAPACITY")
        page.get_by_role("tab", name="Audit log").click()
        expect(page.get_by_role("table", name="Audit log")).to_contain_text("account.suspended")
        expect(page).to_have_url(re.compile("tab=audit"))
        assert seen.faults() == []


@pytest.mark.parametrize("decision", ["Approve", "Refuse"])
def test_a_person_decides_on_the_login_of_a_command_line(
    browser: Browser, client: Client, decision: str
) -> None:
    begun = client.post("/cli-logins", hostname="<b>laptop</b>")
    path = f"/cli/approve?login={begun['id']}"
    with watched(browser, client.base_url, api_key=client.api_key) as seen:
        page = seen.open(path)
        expect(page.get_by_text(begun["phrase"])).to_be_visible()
        expect(page.get_by_text("<b>laptop</b>")).to_be_visible()
        expect(page.get_by_text("127.0.0.1")).to_be_visible()
        page.get_by_label("It may").select_option("viewer")
        press(page, decision)
        expect(page.get_by_role("main").get_by_role("status")).to_contain_text("You can close this page.")
        assert seen.faults() == []
    if decision == "Approve":
        key = client.post("/cli-logins/poll", deviceCode=begun["deviceCode"])["apiKey"]
        answer = httpx2.get(f"{client.base_url}/api/v1/account", headers={"Authorization": f"Bearer {key}"})
        assert answer.json()["role"] == "viewer"
        with watched(browser, client.base_url, api_key=key) as seen:
            other = client.post("/cli-logins", hostname="laptop")["id"]
            page = seen.open(f"/cli/approve?login={other}")
            expect(page.get_by_role("main")).to_contain_text("may not approve this")
            expect(page.get_by_role("button", name="Approve")).to_have_count(0)
            assert seen.faults() == []


def test_the_last_state_stays_while_the_server_is_away(browser: Browser, client: Client) -> None:
    """What was loaded is kept, marked; what was not says that there is no connection, and is tried again."""
    client.post("/webhooks", url="https://hooks.example.com/agents")
    allowed = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "Failed to fetch")
    with watched(browser, client.base_url, api_key=client.api_key, allowed=allowed) as seen:
        page = seen.open("/webhooks")
        expect(page.get_by_role("link", name="https://hooks.example.com/agents")).to_be_visible()
        page.route("**/api/v1/**", lambda route: route.abort())
        page.get_by_role("link", name="Keys").first.click()
        expect(page.get_by_text("The server cannot be reached.").first).to_be_visible()
        page.get_by_role("link", name="Webhooks").first.click()
        expect(page.get_by_role("link", name="https://hooks.example.com/agents")).to_be_visible()
        page.unroute("**/api/v1/**")
        page.get_by_role("link", name="Keys").first.click()
        until(lambda: page.get_by_role("table", name="API keys").is_visible() or _retry(page))


def _retry(page: Page) -> bool:
    again = page.get_by_role("button", name="Try again")
    if again.count():
        again.first.click()
    return False
