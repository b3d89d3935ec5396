"""The application under test as `bed`, and two accounts; `api` is a process for streams."""

import pytest_asyncio

from tests.api_bed import AGENT, TABLES, Account, Bed, alice, api_bed, bob, error_of, new_account

from .stream_bed import api

__all__ = ["AGENT", "TABLES", "Account", "Bed", "alice", "api", "api_bed", "bob", "error_of", "new_account"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(api_bed: Bed) -> Bed:
    return api_bed
