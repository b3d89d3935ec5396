"""The client: a connection to one installation, with one API key."""

# Written by scripts/render_sync.py from _async. Do not edit.

from types import TracebackType
from typing import Self

import httpx2

from agentcontainer_client import _config
from agentcontainer_client._retry import RETRIES
from agentcontainer_client._sync.account import Account, ApiKeys, ProviderKeys
from agentcontainer_client._sync.agents import Agents
from agentcontainer_client._sync.batches import Batches
from agentcontainer_client._sync.conversations import Conversations
from agentcontainer_client._sync.feed import Feed
from agentcontainer_client._sync.files import Files
from agentcontainer_client._sync.installation import Installation
from agentcontainer_client._sync.sessions import CliLogins, Sessions
from agentcontainer_client._sync.system import Raw, System, WakeLinks
from agentcontainer_client._sync.tasks import Tasks
from agentcontainer_client._sync.transport import READ_SECONDS, Connections, Options, Transport
from agentcontainer_client._sync.webhooks import Webhooks


class AgentContainer:
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
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        connection = _config.connection(base_url, api_key, profile)
        self._bind(
            Transport(
                connection=connection,
                connections=Connections(connection, transport),
                options=Options(timeout=timeout, max_retries=max_retries),
            )
        )

    def _bind(self, transport: Transport) -> None:
        self._transport = transport
        self.account = Account(transport)
        self.agents = Agents(transport)
        self.api_keys = ApiKeys(transport)
        self.batches = Batches(transport)
        self.cli_logins = CliLogins(transport)
        self.conversations = Conversations(transport)
        self.feed = Feed(transport)
        self.files = Files(transport)
        self.installation = Installation(transport)
        self.provider_keys = ProviderKeys(transport)
        self.raw = Raw(transport)
        self.sessions = Sessions(transport)
        self.system = System(transport)
        self.tasks = Tasks(transport)
        self.wake_links = WakeLinks(transport)
        self.webhooks = Webhooks(transport)

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

    def close(self) -> None:
        """Close all connections."""
        self._transport.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
