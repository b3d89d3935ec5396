"""One lab for all short tests, which run in one worker. Each test is on the lab's network."""

from collections.abc import Iterator

import pytest

from tests.acceptance.bed import Client

from .lab import Lab

FAULTS_TITLE = (
    "fault | runs again after | takes work after | tasks that ran again | lost | written at once | ledger | what a "
    "client saw"
)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("lab"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults."""
    rows = [
        str(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == "lab_fault"
    ]
    if rows:
        terminalreporter.section(FAULTS_TITLE)
        for row in rows:
            terminalreporter.write_line(row)


@pytest.fixture(scope="package")
def shared_lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab. A test leaves every host on, connected, and with its service running."""
    with shared_lab.network.entered():
        yield shared_lab


@pytest.fixture
def client(lab: Lab) -> Client:
    return lab.account()
