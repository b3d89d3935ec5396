"""A hostile page in a real browser whose user is logged in gets nothing and changes nothing."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser import chromium, site

from .conftest import AGENT, Account, Bed
from .stream_bed import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Each attempt resolves to what the page could learn; "nothing" if that is nothing.
ATTACK = """<!doctype html><title>Attack</title><body><script>
const target = %s;
const outcomes = {};
async function attempt(name, act) {
  const timeout = new Promise((resolve) => setTimeout(() => resolve("nothing"), 2500));
  try { outcomes[name] = await Promise.race([act(), timeout]); } catch (error) { outcomes[name] = "nothing"; }
}
const peek = (find) => { try { return find().body.innerText || "nothing"; } catch { return "nothing"; } };
const read = async (response) => (await response.text()) || "nothing";
const get = (options) => async () => read(await fetch(target + "/api/v1/account", options));
const post = (options) => async () => read(await fetch(target + "/api/v1/agents/%s/tasks",
  {method: "POST", body: JSON.stringify({instructions: "stolen"}), ...options}));
const element = (tag, attributes) => () => new Promise((resolve) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.onload = () => resolve(tag === "iframe" ? peek(() => made.contentDocument) : "loaded");
  made.onerror = () => resolve("nothing");
  document.body.append(made);
});
const form = (path, fields, enctype) => () => new Promise((resolve) => {
  const frame = Object.assign(document.createElement("iframe"), {name: "f" + Math.random()});
  const made = Object.assign(document.createElement("form"),
    {method: "POST", action: target + path, target: frame.name, enctype});
  for (const [name, value] of Object.entries(fields))
    made.append(Object.assign(document.createElement("input"), {name, value}));
  document.body.append(frame, made);
  frame.onload = () => resolve(peek(() => frame.contentDocument));
  made.submit();
});
(async () => {
  const json = {"Content-Type": "application/json"};
  await attempt("fetch", get({credentials: "include"}));
  await attempt("fetch without cors", get({credentials: "include", mode: "no-cors"}));
  await attempt("fetch with the mark", get({credentials: "include", headers: {"X-AC-UI": "1"}}));
  await attempt("fetch with a key", get({credentials: "include", headers: {"Authorization": "Bearer x"}}));
  await attempt("post", post({credentials: "include", headers: json}));
  await attempt("post as text", post({credentials: "include", mode: "no-cors"}));
  await attempt("post with the mark", post({credentials: "include", headers: {...json, "X-AC-UI": "1"}}));
  await attempt("delete", async () => read(await fetch(target + "/session",
    {method: "DELETE", credentials: "include"})));
  await attempt("who", async () => read(await fetch(target + "/session", {credentials: "include"})));
  await attempt("login", async () => read(await fetch(target + "/session",
    {method: "POST", credentials: "include", mode: "no-cors", body: JSON.stringify({apiKey: %s})})));
  await attempt("stream", () => new Promise((resolve) => {
    const source = new EventSource(target + "/api/v1/events?stream=true", {withCredentials: true});
    source.onopen = () => resolve("open"); source.onerror = () => resolve("nothing");
  }));
  await attempt("image", element("img", {src: target + "/api/v1/files/%s/content"}));
  await attempt("script", element("script", {src: target + "/api/v1/account"}));
  await attempt("frame", element("iframe", {src: target + "/api/v1/account"}));
  await attempt("form", form("/api/v1/agents/%s/tasks", {'{"instructions":"stolen","x":"': '"}'}, "text/plain"));
  await attempt("logout form", form("/session", {a: "b"}, "application/x-www-form-urlencoded"));
  await attempt("window", () => new Promise((resolve) => {
    const opened = window.open(target + "/api/v1/account");
    setTimeout(() => resolve(peek(() => opened.document)), 1500);
  }));
  window.done = true;
})();
</script>"""


long = pytest.mark.long


@pytest.mark.parametrize(
    ("victim", "attacker"),
    [
        ("127.0.0.1", "127.0.0.1"),  # another port of this machine; the browser sends Sec-Fetch-Site
        pytest.param("box.lan", "box.lan", marks=long),  # the same, where it does not
        pytest.param("box.lan", "evil.example", marks=long),
    ],
)
async def test_it_gets_nothing_and_changes_nothing(
    api: Api, bed: Bed, alice: Account, bob: Account, victim: str, attacker: str
) -> None:
    file_id = await alice.upload(b"secret", "secret.txt")
    before = await bed.rows()
    secrets = (alice.key, bob.key, file_id)
    learnt = await asyncio.to_thread(attack, api.base_url, victim, attacker, secrets)
    assert len(learnt) == 17
    assert {name: text for name, text in learnt.items() if text != "nothing"} == {}
    assert await bed.rows() == before
    assert len((await alice.get("/api/v1/sessions")).json()["data"]) == 1, "nobody logged the user out"
    assert (await bob.get("/api/v1/sessions")).json()["data"] == [], "nobody logged the user in elsewhere"


def attack(base_url: str, victim: str, attacker: str, secrets: tuple[str, str, str]) -> dict[str, str]:
    """What a page of `attacker` learns about an installation at `victim` in whose dashboard the user is logged in."""
    key, strangers_key, file_id = secrets
    target = f"http://{victim}:{urlsplit(base_url).port}"
    rules = "MAP box.lan 127.0.0.1, MAP evil.example 127.0.0.1"
    with chromium(f"--host-resolver-rules={rules}") as browser, site() as (origin, pages):
        context = browser.new_context()
        page = context.new_page()
        log_in(page, target, key)
        pages["/attack"] = ATTACK % (json.dumps(target), AGENT, json.dumps(strangers_key), file_id, AGENT)
        hostile = context.new_page()
        hostile.goto(f"http://{attacker}:{urlsplit(origin).port}/attack")
        hostile.wait_for_function("window.done", timeout=100_000)
        assert works(page)  # the user is still logged in, so the attempts failed although there was a session
        return hostile.evaluate("outcomes")


def log_in(page: Page, target: str, key: str) -> None:
    page.goto(f"{target}/healthz")
    status = page.evaluate(
        """async (key) => (await fetch("/session", {method: "POST", body: JSON.stringify({apiKey: key}),
            headers: {"Content-Type": "application/json", "X-AC-UI": "1"}})).status""",
        key,
    )
    assert status == 204
    assert works(page)


def works(page: Page) -> bool:
    """Whether our own page reads the account and cannot read the cookie."""
    return page.evaluate(
        """async () => (await fetch("/api/v1/account", {headers: {"X-AC-UI": "1"}})).status === 200
            && document.cookie === ''"""
    )
