"""Whatever an agent, a file or a client says is text on every screen."""

import json
import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.bed import Client, Platform, finish, script

from .conftest import PHONE, account_of, watched
from .hostile import CORPUS, HTML

SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned=1"><script>window.pwned=1</script>
<image href="https://evil.example/leak.png"/></svg>"""
COPY = "cd task_files; for name in page.html picture.svg deep.json; do cp $name ../copy-$name; done; cp *.md ../copy.md"


@dataclass(frozen=True)
class Hostile:
    client: Client
    task: str
    conversation: str
    agent: str


def title_of(text: str) -> str:
    """The text as a title may be: short, without control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)[:180].strip() or "empty"


@pytest.fixture(scope="module")
def hostile(platform: Platform) -> Hostile:
    client = account_of(platform)
    common = {"instructions": "Wait."}
    batch = client.post(
        "/agents/agt_standard_data/tasks/batch",
        tasks=[{"title": title_of(text), "metadata": {"note": text[:200]}} for text in CORPUS],
        common=common,
    )["batch"]["id"]  # fmt: skip
    client.post(f"/batches/{batch}/cancel")
    page = client.upload("page.html", "\n".join(HTML).encode(), "text/html")
    picture = client.upload("picture.svg", SVG, "image/svg+xml")
    text = client.upload(
        "<img src=x onerror=window.pwned=1>.md", "\n\n".join(CORPUS).encode(), "text/markdown"
    )
    data = client.upload("deep.json", ("[" * 10_000 + "]" * 10_000).encode(), "application/json")
    steps = [{"say": text, "bash": f"cat <<'E'\n{text}\nE"} for text in CORPUS]
    task = client.dispatch(
        script(*steps, {"bash": COPY}, finish("copy-page.html", "copy-picture.svg", "copy-deep.json", "copy.md")),
        title=title_of(HTML[0]), inputFileIds=[page, picture, text, data],
    )  # fmt: skip
    agent = client.post("/agents", name=HTML[1], description=HTML[2], basePrompt="\n".join(CORPUS))["id"]
    conversation = client.begin("\n\n".join(CORPUS)[:20_000], title=title_of(HTML[3]))
    client.wait(task, "finished", seconds=150)
    client.wait(conversation, "awaiting_input")
    return Hostile(client, task, conversation, agent)


def paths(hostile: Hostile) -> list[str]:
    run = f"/tasks/{hostile.task}"
    return [
        "/", "/tasks", f"{run}?tab=timeline", f"{run}?tab=result", f"{run}?tab=details", "/conversations",
        f"/conversations/{hostile.conversation}", "/files", "/agents", f"/agents/{hostile.agent}", "/tasks/new",
        f"/tasks/new?from={hostile.task}",
    ]  # fmt: skip


def check(page: Page, faults: list[str]) -> None:
    assert page.evaluate("window.pwned") is None
    assert faults == []


@pytest.mark.long
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["wide", "phone"])
def test_the_corpus_is_text_on_every_screen(
    browser: Browser, hostile: Hostile, viewport: dict[str, int] | None
) -> None:
    client = hostile.client
    options = {} if viewport is None else {"viewport": viewport}
    with watched(browser, client.base_url, api_key=client.api_key, **options) as seen:
        for path in paths(hostile):
            page = seen.open(path)
            check(page, [fault for fault in seen.faults() if not fault.startswith("axe")])
            if not path.endswith("timeline"):
                continue
            folded = page.locator("[data-testid=timeline] button[aria-expanded=false]")
            for _ in range(min(folded.count(), 10)):
                folded.first.click(timeout=5000)
            check(page, [fault for fault in seen.faults() if not fault.startswith("axe")])


def test_previews_of_hostile_files_run_and_fetch_nothing(browser: Browser, hostile: Hostile) -> None:
    client = hostile.client
    # What the browser says of the frame whose content it refuses to run or fetch.
    blocked = (
        "Content Security Policy",
        "Content-Security-Policy",
        "The document is sandboxed",
        "sandboxed and the",
    )
    with watched(browser, client.base_url, api_key=client.api_key, allowed=blocked) as seen:
        page = seen.open(f"/tasks/{hostile.task}")
        for file in client.files(hostile.task):
            page.get_by_role("button", name=re.compile("^" + re.escape(file["filename"]))).first.click()
            page.get_by_role("dialog").wait_for()
            page.wait_for_timeout(300)
            check(page, [fault for fault in seen.faults() if not fault.startswith("axe")])
            page.keyboard.press("Escape")
            page.get_by_role("dialog").wait_for(state="detached")


def test_the_corpus_holds_what_it_says() -> None:
    assert len(CORPUS) >= 60
    assert all(json.loads(json.dumps(text)) == text for text in CORPUS)
