"""The account, its ledger, its API keys and its keys for model providers."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from agentcontainer_client import inputs, models
from agentcontainer_client._calls import Call, body_of, camel, operation, segment
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True)
class Account:
    """`client.account`: the account of the API key."""

    transport: Transport = field(repr=False)

    @operation("getAccount")
    def get(self) -> models.Account:
        """The account, with its balance."""
        return self.transport.send(Call(method="GET", path="/account"), models.Account.from_wire)

    @operation("changeAccount")
    def update(
        self,
        *,
        name: str | None = None,
        email: str | None = None,
        low_balance_usd: float | None = None,
        usage_metadata_keys: Sequence[str] | None = None,
        unset: Sequence[Literal["email", "low_balance_usd"]] = (),
        idempotency_key: str | None = None,
    ) -> models.Account:
        """Change the account. What is not given stays; `unset` removes a value.

        `low_balance_usd`: below this balance the feed gets the event `balance.low`. `usage_metadata_keys`: keys of the
        tasks' metadata by which `usage` can sum.
        """
        body = body_of(
            name=name,
            email=email,
            low_balance_usd=low_balance_usd,
            usage_metadata_keys=None if usage_metadata_keys is None else list(usage_metadata_keys),
        ) | {camel(field): None for field in unset}
        call = Call(method="PATCH", path="/account", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.Account.from_wire)

    @operation("getUsage", **{"from": "first_day", "to": "last_day", "format": "usage_csv()"})
    def usage(
        self,
        *,
        by: str | Sequence[str] = "day",
        first_day: date | None = None,
        last_day: date | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> Pager[models.UsageEntry]:
        """What the tasks used, summed by one or two of `day`, `agent`, `agentVersion`, `model`, `key` and
        `metadata.<key>`. Days are in UTC; by default the last 30."""
        return Pager(
            self.transport,
            "/usage",
            models.UsageEntry.from_wire,
            query=_usage_query(by, first_day, last_day),
            limit=limit,
            cursor=cursor,
            order=order,
            max_page=1000,
        )

    def usage_csv(
        self,
        *,
        by: str | Sequence[str] = "day",
        first_day: date | None = None,
        last_day: date | None = None,
    ) -> str:
        """`usage` as CSV, with all rows."""
        query = _usage_query(by, first_day, last_day) | {"format": "csv"}
        return (self.transport.request(Call(method="GET", path="/usage", query=query))).text

    @operation("listLedgerEntries")
    def ledger(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.LedgerEntry]:
        """All movements of money, the newest first. Their sum is the balance."""
        return Pager(
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
    ) -> Pager[models.AuditEntry]:
        """Who changed what in the account, the newest first."""
        return Pager(
            self.transport,
            "/account/audit",
            models.AuditEntry.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )


def _usage_query(by: str | Sequence[str], first_day: date | None, last_day: date | None) -> dict[str, object]:
    query: dict[str, object] = {"by": by if isinstance(by, str) else ",".join(by)}
    days = {"from": first_day, "to": last_day}
    return query | {name: day.isoformat() for name, day in days.items() if day is not None}


@dataclass(frozen=True)
class ApiKeys:
    """`client.api_keys`: the keys of the account."""

    transport: Transport = field(repr=False)

    @operation("listApiKeys")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.ApiKey]:
        """The keys, the newest first, without the keys themselves."""
        return Pager(
            self.transport,
            "/api-keys",
            models.ApiKey.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("createApiKey")
    def create(
        self,
        name: str,
        *,
        role: models.KeyRole | None = None,
        agent_ids: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        limits: inputs.KeyLimitsInput | None = None,
        idempotency_key: str | None = None,
    ) -> models.NewApiKey:
        """Make a key. Its `key` is shown this once.

        `role`: `viewer` reads, `member` also acts. With `agent_ids`, only these agents exist for it.
        """
        body = body_of(
            name=name, role=role, agent_ids=_listed(agent_ids), expires_at=_written(expires_at), limits=limits
        )
        call = Call(method="POST", path="/api-keys", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.NewApiKey.from_wire)

    @operation("changeApiKey", keyId="key")
    def update(
        self,
        key: str,
        *,
        name: str | None = None,
        role: models.KeyRole | None = None,
        agent_ids: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        limits: inputs.KeyLimitsInput | None = None,
        unbound: Sequence[Literal["agent_ids", "expires_at", "limits"]] = (),
        idempotency_key: str | None = None,
    ) -> models.ApiKey:
        """Change another key by its id, at once. What is not given keeps its value; `unbound` removes a bound."""
        body = body_of(
            name=name, role=role, agent_ids=_listed(agent_ids), expires_at=_written(expires_at), limits=limits
        )
        body |= {camel(bound): None for bound in unbound}
        path = f"/api-keys/{segment(key)}"
        call = Call(method="PATCH", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.ApiKey.from_wire)

    @operation("revokeApiKey", keyId="key")
    def revoke(self, key: str) -> None:
        """Revoke a key by its id, at once and for good."""
        self.transport.request(Call(method="DELETE", path=f"/api-keys/{segment(key)}"))


def _listed(ids: Sequence[str] | None) -> list[str] | None:
    return None if ids is None else list(ids)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


@dataclass(frozen=True)
class ProviderKeys:
    """`client.provider_keys`: the account's own keys and endpoints of models. No answer contains a key."""

    transport: Transport = field(repr=False)

    @operation("listProviderKeys")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.ProviderKey]:
        """The stored keys and endpoints."""
        return Pager(
            self.transport,
            "/provider-keys",
            models.ProviderKey.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("putProviderKey")
    def set(
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
        return self.transport.send(call, models.ProviderKey.from_wire)

    @operation("testProviderKey")
    def test(
        self, provider: str, *, model: str | None = None, idempotency_key: str | None = None
    ) -> models.ProviderTestResult:
        """Ask the provider whether the key works; with `model`, by a request of a few tokens."""
        path = f"/provider-keys/{segment(provider)}/test"
        call = Call(method="POST", path=path, body=body_of(model=model), idempotency_key=idempotency_key)
        return self.transport.send(call, models.ProviderTestResult.from_wire)

    @operation("deleteProviderKey")
    def delete(self, provider: str) -> None:
        """Remove a key or endpoint."""
        self.transport.request(Call(method="DELETE", path=f"/provider-keys/{segment(provider)}"))
