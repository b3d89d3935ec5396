"""Every route in its happy state: nothing refused by the policy, logged, sent elsewhere or hard to use."""

import pytest
from playwright.sync_api import Browser

from .conftest import PHONE, World, watched

pytestmark = pytest.mark.long

MODES = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
}


def paths(world: World) -> list[tuple[str, str]]:
    """Each route, and a text that it shows."""
    return [
        ("/", "Needs you"),
        ("/tasks", "Sales of the first quarter"),
        ("/tasks/new", "Instructions"),
        (f"/tasks/{world.finished}", "report.md"),
        (f"/tasks/{world.failed}", "no such model"),
        (f"/tasks/{world.running}", "One that runs"),
        (f"/tasks/{world.asleep}", "Waiting for the review."),
        ("/conversations", "About the sales"),
        (f"/conversations/{world.conversation}", "Which region sells best?"),
        ("/files", "sales.csv"),
        ("/agents", "Accountant"),
        (f"/agents/{world.agent}", "Review changes"),
        (f"/agents/{world.agent}?tab=versions", "current"),
        ("/usage", "Balance"),
        ("/keys", "API keys"),
        ("/webhooks", "hooks.example.com"),
        (f"/webhooks/{world.webhook}", "hooks.example.com"),
        ("/installation", "operators"),
        (f"/cli/approve?login={world.login}", "laptop"),
        ("/nowhere", "Not found"),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_every_route(browser: Browser, world: World, mode: str) -> None:
    client = world.client
    options = MODES[mode]
    with watched(browser, client.base_url, api_key=client.api_key, **options) as seen:
        for path, text in paths(world):
            page = seen.open(path)
            shown = page.locator("body").inner_text()
            if mode == "phone" and path.startswith("/tasks/tsk_"):
                page.get_by_role("button", name="Timeline").click()
                shown += page.locator("body").inner_text()
            assert text in shown, (path, shown[:2000])
            assert seen.faults() == [], path
    with watched(browser, client.base_url, allowed=("401",), **options) as seen:
        seen.open("/login")
        assert seen.faults() == []
