"""How quickly does the dashboard show and follow the log of a task with 99,000 events?

    .venv/bin/python benchmarks/dashboard.py [--seconds 10]

A real `up`, a real Chromium. Printed are the time to the first row, the longest task of the page's main thread while 20
events a second arrive and while somebody scrolls through old events, and the heap afterwards. Takes about a minute;
needs `make ui`.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page

from tests.acceptance.bed import Client, Platform, finish, script, waiting
from tests.browser import chromium
from tests.dashboard.conftest import watched
from tests.dashboard.long_log import appending, fill

_OBSERVE = """
window.longest = 0;
new PerformanceObserver((list) => { for (const task of list.getEntries()) longest = Math.max(longest, task.duration); })
  .observe({type: "longtask", buffered: true});
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    seconds = parser.parse_args().seconds
    command = [sys.executable, "-m", "agentcontainer.gateway.scripted", "--port", "0"]
    model = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert model.stdout is not None
    match = re.search(r"http://127\.0\.0\.1:\d+", model.stdout.readline().decode())
    assert match is not None
    try:
        with Platform(match[0], capacity="1") as platform:
            client = platform.account()
            task_id = client.dispatch(script(waiting(), finish()), title="Long")
            client.until_event(task_id, lambda event: event["type"] == "tool.started")
            fill(platform.data_dir, task_id)
            show(measure(platform, client, task_id, seconds))
    finally:
        model.terminate()
        model.wait()


def measure(platform: Platform, client: Client, task_id: str, seconds: float) -> dict[str, str]:
    with (
        chromium("--enable-precise-memory-info") as browser,
        watched(browser, client.base_url, api_key=client.api_key) as seen,
    ):
        page = seen.page
        page.add_init_script(_OBSERVE)
        page.goto(f"{client.base_url}/tasks")
        page.get_by_role("link", name="Long").wait_for()
        begun = time.perf_counter()
        page.goto(f"{client.base_url}/tasks/{task_id}")
        page.get_by_role("article").first.wait_for()
        first_row = time.perf_counter() - begun
        opening = longest(page)
        with appending(platform.data_dir, task_id):
            page.wait_for_timeout(seconds * 1000)
            following = longest(page)
            for _ in range(20):
                page.get_by_test_id("timeline").evaluate("list => list.scrollTop = 0")
                page.wait_for_timeout(300)
            scrolling = longest(page)
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    return {
        "first row": f"{first_row:.2f} s",
        "longest task while opening": f"{opening:.0f} ms",
        "longest task while following": f"{following:.0f} ms",
        "longest task while scrolling to older events": f"{scrolling:.0f} ms",
        "heap": f"{heap:.0f} MB",
    }


def longest(page: Page) -> float:
    """The longest task since the last call, in ms; 0 if none took 50 ms."""
    return page.evaluate("(() => { const value = longest; longest = 0; return value; })()")


def show(values: dict[str, str]) -> None:
    table = Table("what", "value")
    for name, value in values.items():
        table.add_row(name, value)
    Console().print(table)


if __name__ == "__main__":
    main()
