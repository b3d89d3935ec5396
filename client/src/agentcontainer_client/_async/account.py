"""The account, its ledger, its API keys and its keys for model providers."""

from dataclasses import dataclass, field
from typing import Any

from agentcontainer_client import inputs, models
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import Call, body_of, operation, segment


@dataclass(frozen=True)
class AsyncAccount:
    """`client.account`: the account of the API key."""

    transport: AsyncTransport = field(repr=False)

    @operation("getAccount")
    async def get(self) -> models.Account:
        """The account, with its balance."""
        return await self.transport.send(Call(method="GET", path="/account"), models.Account.from_wire)

    @operation("listLedgerEntries")
    def ledger(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.LedgerEntry]:
        """All movements of money, the newest first. Their sum is the balance."""
        return AsyncPager(
            self.transport,
            "/account/ledger",
            models.LedgerEntry.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("listAuditEntries")
    def audit(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.AuditEntry]:
        """Who changed what in the account, the newest first."""
        return AsyncPager(
            self.transport,
            "/account/audit",
            models.AuditEntry.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )


@dataclass(frozen=True)
class AsyncApiKeys:
    """`client.api_keys`: the keys of the account."""

    transport: AsyncTransport = field(repr=False)

    @operation("listApiKeys")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.ApiKey]:
        """The keys, the newest first, without the keys themselves."""
        return AsyncPager(
            self.transport,
            "/api-keys",
            models.ApiKey.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("createApiKey")
    async def create(self, name: str, *, idempotency_key: str | None = None) -> models.NewApiKey:
        """Make a key. Its `key` is shown this once."""
        call = Call(method="POST", path="/api-keys", body=body_of(name=name), idempotency_key=idempotency_key)
        return await self.transport.send(call, models.NewApiKey.from_wire)

    @operation("revokeApiKey", keyId="key")
    async def revoke(self, key: str) -> None:
        """Revoke a key by its id, at once and for good."""
        await self.transport.request(Call(method="DELETE", path=f"/api-keys/{segment(key)}"))


@dataclass(frozen=True)
class AsyncProviderKeys:
    """`client.provider_keys`: the account's own keys and endpoints of models. No answer contains a key."""

    transport: AsyncTransport = field(repr=False)

    @operation("listProviderKeys")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.ProviderKey]:
        """The stored keys and endpoints."""
        return AsyncPager(
            self.transport,
            "/provider-keys",
            models.ProviderKey.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("putProviderKey")
    async def set(
        self,
        provider: str,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        api: models.ProviderApi | None = None,
        price: inputs.TokenPriceInput | None = None,
    ) -> models.ProviderKey:
        """Store a key for `anthropic`, `openai` or `openrouter`, or an endpoint of the account's own under a name.

        An endpoint needs `base_url` and `api`, its protocol.
        """
        body: dict[str, Any] = body_of(api_key=api_key, base_url=base_url, api=api, price=price)
        call = Call(method="PUT", path=f"/provider-keys/{segment(provider)}", body=body)
        return await self.transport.send(call, models.ProviderKey.from_wire)

    @operation("testProviderKey")
    async def test(
        self, provider: str, *, model: str | None = None, idempotency_key: str | None = None
    ) -> models.ProviderTestResult:
        """Ask the provider whether the key works; with `model`, by a request of a few tokens."""
        path = f"/provider-keys/{segment(provider)}/test"
        call = Call(method="POST", path=path, body=body_of(model=model), idempotency_key=idempotency_key)
        return await self.transport.send(call, models.ProviderTestResult.from_wire)

    @operation("deleteProviderKey")
    async def delete(self, provider: str) -> None:
        """Remove a key or endpoint."""
        await self.transport.request(Call(method="DELETE", path=f"/provider-keys/{segment(provider)}"))
