"""The application under test as `bed`, on a database of its own: no API process numbers its feeds or sends webhooks."""

import pytest_asyncio

from tests.api_bed import AGENT, Account, Bed, alice, api_bed, bob, error_of, new_account

__all__ = ["AGENT", "Account", "Bed", "alice", "api_bed", "bob", "error_of", "new_account"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(api_bed: Bed) -> Bed:
    return api_bed
