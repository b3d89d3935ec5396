"""What needs no account: health, metrics, the OpenAPI document, wake links; and requests that have no method."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from agentcontainer_client import models
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import Call, Query, body_of, operation, query_of, segment
from agentcontainer_client.errors import ConfigurationError


@dataclass(frozen=True)
class AsyncSystem:
    """`client.system`: the installation."""

    transport: AsyncTransport = field(repr=False)

    @operation("checkHealth")
    async def health(self) -> models.Health:
        """Whether the API process runs."""
        call = Call(method="GET", path="/healthz", is_root=True)
        return await self.transport.send(call, models.Health.from_wire)

    @operation("checkReadiness")
    async def readiness(self) -> models.Readiness:
        """Whether the API process can serve requests.

        Raises:
            Unavailable: it cannot.
        """
        call = Call(method="GET", path="/readyz", is_root=True)
        return await self.transport.with_options(max_retries=0).send(call, models.Readiness.from_wire)

    @operation("getMetrics")
    async def metrics(self) -> str:
        """The metrics, in the format of Prometheus."""
        return (await self.transport.request(Call(method="GET", path="/metrics", is_root=True))).text

    @operation("getCapabilities")
    async def capabilities(self) -> models.Capabilities:
        """What the installation offers, and what its operator has switched off."""
        return await self.transport.send(
            Call(method="GET", path="/capabilities"), models.Capabilities.from_wire
        )

    @operation("listModels")
    def list_models(
        self,
        *,
        provider: models.Provider | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> AsyncPager[models.OfferedModel]:
        """The models of the platform's providers, with their prices, by provider and id."""
        query = query_of(provider=provider)
        return AsyncPager(
            self.transport, "/models", models.OfferedModel.from_wire, query=query, limit=limit, cursor=cursor,
            order=order,
        )  # fmt: skip

    @operation("getOpenapiDocument")
    async def openapi(self) -> str:
        """The OpenAPI document, as YAML."""
        return (await self.transport.request(Call(method="GET", path="/openapi.yaml"))).text


@dataclass(frozen=True)
class AsyncWakeLinks:
    """`client.wake_links`: wake links, which need no API key."""

    transport: AsyncTransport = field(repr=False)

    @operation("useWakeLink", token="url")
    async def use(self, url: str, message: str | None = None) -> models.Woken:
        """Wake the task of a link, with a message for its agent.

        Raises:
            Gone: the link has been used or has expired.
        """
        call = Call(method="POST", path=_path(url), body=body_of(message=message), is_root=True)
        return await self.transport.with_options(max_retries=0).send(call, models.Woken.from_wire)

    @operation("showWakeLink", token="url")
    async def page(self, url: str) -> str:
        """The page of a link, as a person sees it in a browser."""
        return (await self.transport.request(Call(method="GET", path=_path(url), is_root=True))).text


@dataclass(frozen=True)
class AsyncRaw:
    """`client.raw`: requests below /api/v1 that have no method here, with retries and without decoding.

    Raises:
        ApiError: the API answered with an error.
    """

    transport: AsyncTransport = field(repr=False)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        idempotency_key: str | None = None,
    ) -> httpx2.Response:
        """The response. `path` begins below /api/v1, such as `/tasks`."""
        call = Call(
            method=method.upper(),
            path=f"/{path.lstrip('/')}",
            query={}
            if query is None
            else {name: query_of(v=value).get("v") for name, value in query.items()},
            body=body,
            idempotency_key=idempotency_key,
        )
        return await self.transport.request(call)

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        """The response to a GET."""
        return await self.request("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        """The response to a POST."""
        return await self.request("POST", path, body={} if body is None else body)


def _path(url: str) -> str:
    """The path of a wake link. The token goes to the client's own server only."""
    folder, _, token = urlsplit(url).path.rpartition("/")
    if not folder.endswith("/wake") and url != token:
        raise ConfigurationError("This is not a wake link.")
    return f"/wake/{segment(token)}"
