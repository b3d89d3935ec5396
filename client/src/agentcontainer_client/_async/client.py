"""The client: a connection to one installation, with one API key."""

from types import TracebackType
from typing import Self

import httpx2

from agentcontainer_client import _config
from agentcontainer_client._async.account import AsyncAccount, AsyncApiKeys, AsyncProviderKeys
from agentcontainer_client._async.agents import AsyncAgents
from agentcontainer_client._async.batches import AsyncBatches
from agentcontainer_client._async.conversations import AsyncConversations
from agentcontainer_client._async.feed import AsyncFeed
from agentcontainer_client._async.files import AsyncFiles
from agentcontainer_client._async.installation import AsyncInstallation
from agentcontainer_client._async.sessions import AsyncCliLogins, AsyncSessions
from agentcontainer_client._async.system import AsyncRaw, AsyncSystem, AsyncWakeLinks
from agentcontainer_client._async.tasks import AsyncTasks
from agentcontainer_client._async.transport import READ_SECONDS, AsyncConnections, AsyncTransport, Options
from agentcontainer_client._async.webhooks import AsyncWebhooks
from agentcontainer_client._retry import RETRIES


class AsyncAgentContainer:
    """A client of an AgentContainer installation. It may be shared, and closes its connections after `with`.

    `base_url` and `api_key` default to the environment variables AGENTCONTAINER_URL and AGENTCONTAINER_API_KEY, then to
    a profile of the command `agentcontainer login`. `timeout`: seconds without an answer. `max_retries`: how often a
    request is repeated after a failure that may be transient; a POST carries one Idempotency-Key over all tries.

    Raises:
        ConfigurationError: the URL or the key is missing.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        timeout: float = READ_SECONDS,
        max_retries: int = RETRIES,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        connection = _config.connection(base_url, api_key, profile)
        self._bind(
            AsyncTransport(
                connection=connection,
                connections=AsyncConnections(connection, transport),
                options=Options(timeout=timeout, max_retries=max_retries),
            )
        )

    def _bind(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self.account = AsyncAccount(transport)
        self.agents = AsyncAgents(transport)
        self.api_keys = AsyncApiKeys(transport)
        self.batches = AsyncBatches(transport)
        self.cli_logins = AsyncCliLogins(transport)
        self.conversations = AsyncConversations(transport)
        self.feed = AsyncFeed(transport)
        self.files = AsyncFiles(transport)
        self.installation = AsyncInstallation(transport)
        self.provider_keys = AsyncProviderKeys(transport)
        self.raw = AsyncRaw(transport)
        self.sessions = AsyncSessions(transport)
        self.system = AsyncSystem(transport)
        self.tasks = AsyncTasks(transport)
        self.wake_links = AsyncWakeLinks(transport)
        self.webhooks = AsyncWebhooks(transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    @property
    def base_url(self) -> str:
        """The URL of the installation, without the path of the API."""
        return self._transport.connection.base_url

    @property
    def default_agent(self) -> str | None:
        """The agent of the profile, which is used where none is named."""
        return self._transport.connection.agent

    @property
    def server_version(self) -> str | None:
        """The version of the server, as its latest response says."""
        return self._transport.connections.server_version

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        stream_timeout: float | None = None,
        backoff: float | None = None,
    ) -> Self:
        """The same client, and its connections, with other options. For one call: `client.with_options(…).tasks…`.

        `stream_timeout`: seconds without a byte after which a stream is dead. `backoff`: pause before the first retry.
        """
        changes = {
            "timeout": timeout,
            "max_retries": max_retries,
            "stream_timeout": stream_timeout,
            "backoff": backoff,
        }
        other = object.__new__(type(self))
        other._bind(
            self._transport.with_options(
                **{name: value for name, value in changes.items() if value is not None}
            )
        )
        return other

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
