"""One running platform for all tests of the client, with the offline model, and clients of both kinds."""

from collections.abc import AsyncIterator, Iterator

import pytest

from agentcontainer_client import AgentContainer, AsyncAgentContainer
from tests.acceptance.bed import Client, Platform
from tests.acceptance.conftest import pytest_runtest_teardown, scripted_url
from tests.client.proxy import Proxy

__all__ = ["pytest_runtest_teardown", "scripted_url"]

WITH_BOTH_KINDS = {
    "test_one_call_does_the_whole_job",
    "test_a_conversation_goes_turn_by_turn",
    "test_files_come_back_as_they_were_sent",
}


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests of this folder that name no group, so that the platform is started once.

    The synchronous client is written from the asynchronous one: few tests run with both kinds in each run.
    """
    for item in items:
        if "tests/client" in str(item.path) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("client"))
        if "tests/client/_async" in str(item.path) and item.name not in WITH_BOTH_KINDS:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def client_platform(scripted_url: str) -> Iterator[Platform]:
    """The platform. No test stops it."""
    with Platform(scripted_url, capacity="4", offline_model="all") as platform:
        yield platform


@pytest.fixture(scope="session")
def account(client_platform: Platform) -> Client:
    """An account with credit, whose tasks use the offline model."""
    return client_platform.account(provider_keys=False)


@pytest.fixture
def client(client_platform: Platform, account: Client) -> Iterator[AgentContainer]:
    """The synchronous client."""
    with AgentContainer(client_platform.base_url, account.api_key) as made:
        yield made


@pytest.fixture
async def async_client(client_platform: Platform, account: Client) -> AsyncIterator[AsyncAgentContainer]:
    """The asynchronous client."""
    async with AsyncAgentContainer(client_platform.base_url, account.api_key) as made:
        yield made


@pytest.fixture
def proxy(client_platform: Platform) -> Iterator[Proxy]:
    """A proxy in front of the platform, without faults until a test sets some."""
    with Proxy(client_platform.base_url) as made:
        yield made
