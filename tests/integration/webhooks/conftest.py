"""The application under test as `bed`, on a database of its own: no API process numbers its feeds or sends webhooks."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from agentcontainer.domain.feed.sequencer import number_forever
from tests.api_bed import AGENT, Account, Bed, alice, api_bed, bob, error_of, new_account

from .bed import TASK_PAGES

__all__ = ["AGENT", "Account", "Bed", "alice", "api_bed", "bob", "error_of", "new_account"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(api_bed: Bed) -> Bed:
    return api_bed


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def numbering(api_bed: Bed) -> AsyncIterator[None]:
    """Number the feeds during the tests, as an API process with a dashboard does."""
    assert api_bed.settings.database_url is not None
    task = asyncio.create_task(number_forever(api_bed.settings.database_url, TASK_PAGES))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
