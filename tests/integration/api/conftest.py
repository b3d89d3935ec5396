"""The application under test as `bed`, and two accounts; `api` is a process for streams."""

from pathlib import Path

import pytest
import pytest_asyncio

from tests.api_bed import AGENT, TABLES, UNREAD, Account, Bed, alice, api_bed, bob, error_of, new_account

from .stream_bed import api

__all__ = [
    "AGENT", "TABLES", "UNREAD", "Account", "Bed", "alice", "api", "api_bed", "bob", "error_of", "new_account",
]  # fmt: skip


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(api_bed: Bed) -> Bed:
    return api_bed


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a running API process to one worker, so that only one starts it."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "api" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("API process"))
