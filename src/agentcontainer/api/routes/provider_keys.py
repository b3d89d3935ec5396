"""The routes of an account's keys for model providers, and of its own endpoints of models."""

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers
from agentcontainer.api.http.auth import AccountId, Acting
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.execution import Model
from agentcontainer.api.schemas.prices import TokenPrice
from agentcontainer.api.wire import Incoming, Outgoing, Provider, ProviderApiKey, Timestamp
from agentcontainer.db import Page
from agentcontainer.domain.accounts import model, service, store
from agentcontainer.domain.models.catalogue import Rates
from agentcontainer.errors import NotFound, ValidationError
from agentcontainer.gateway.probe import probe_stored
from agentcontainer.providers import OFFLINE, PROVIDERS
from agentcontainer.sandbox.destinations import Destinations

MAX_USD = 1_000_000

ProviderApi = TypeAliasType(
    "ProviderApi", Literal["anthropic-messages", "openai-responses", "openai-completions"]
)
UsdPerMillion = Annotated[float, Field(ge=0, le=MAX_USD, allow_inf_nan=False)]
NamedProvider = Annotated[Provider, Path()]

router = authenticated("Account")


class ProviderKey(Outgoing):
    """A stored provider key, without the key itself, and where it is sent."""

    provider: Provider
    last4: Annotated[
        str,
        Field(description="The key's last four characters; empty for a short key, and if there is no key."),
    ]
    base_url: Annotated[
        str | None, Field(description="Set for an endpoint of the account's own; otherwise null.")
    ]
    api: ProviderApi | None
    price: TokenPrice | None
    created_at: Timestamp


class ProviderKeyPage(Outgoing):
    """A page of provider keys."""

    data: list[ProviderKey]
    page_info: PageInfo


class TokenPriceInput(Incoming):
    """Prices in US dollars per million tokens, of all models of the endpoint."""

    input: UsdPerMillion
    output: UsdPerMillion
    cache_read: Annotated[UsdPerMillion | None, Field(description="Default: `input`.")] = None
    cache_write: Annotated[UsdPerMillion | None, Field(description="Default: `input`.")] = None


class ProviderKeyInput(Incoming):
    """A provider key to store, or an endpoint of the account's own."""

    api_key: Annotated[
        ProviderApiKey | None,
        Field(repr=False, description="Never returned. Required for a provider of the platform."),
    ] = None
    base_url: Annotated[
        str | None,
        Field(
            max_length=2048,
            description="Required for an endpoint of the account's own. The path of the protocol is appended.",
        ),
    ] = None
    api: Annotated[
        ProviderApi | None,
        Field(description="The protocol. Required for an endpoint of the account's own."),
    ] = None
    price: TokenPriceInput | None = None


class ProviderTest(Incoming):
    """How to test the provider."""

    model: Annotated[
        Model | None,
        Field(description="Ask this model for a few tokens. Without it, the request costs nothing."),
    ] = None


class ProviderTestResult(Outgoing):
    """What the provider answered to one request."""

    is_working: bool
    status: Annotated[int | None, Field(description="HTTP status; null if it did not answer.")]
    answer: Annotated[str, Field(description="The beginning of what it answered, without the key.")]
    error: Annotated[str | None, Field(description="A sentence that says what is wrong.")]
    duration_ms: int


@router.get("/provider-keys")
@access(Level.READS, Agents.INDEPENDENT)
async def list_provider_keys(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> ProviderKeyPage:
    """List the account's provider keys and its own endpoints, by name."""
    keys = await store.list_provider_keys(services.pool, account_id)
    after = paging.position("provider-keys", query)
    if query.order == "desc":
        rest = [key for key in reversed(keys) if after is None or key.provider < after]
    else:
        rest = [key for key in keys if after is None or key.provider > after]
    page = Page(rest[: query.limit], len(rest) > query.limit)
    info = paging.page_info("provider-keys", page, lambda key: key.provider)
    return ProviderKeyPage(data=[_response(key) for key in page.rows], page_info=info)


@router.put("/provider-keys/{provider}", responses={409: {}})
@administers
async def put_provider_key(
    provider: NamedProvider, account_id: AccountId, actor: Acting, services: Provided, body: ProviderKeyInput
) -> ProviderKey:
    """Store the account's own key for a provider, or an endpoint of its own with any other name.

    It replaces the whole earlier entry: a stored key is never sent to a new address.
    """
    endpoint = _endpoint(provider, body, Destinations.of(services.settings))
    key = await service.put_provider_key(
        services.pool, services.vault, account_id, provider, body.api_key, endpoint, by=actor
    )
    return _response(key)


@router.delete("/provider-keys/{provider}", status_code=204, response_class=Response)
@administers
async def delete_provider_key(
    provider: NamedProvider, account_id: AccountId, actor: Acting, services: Provided
) -> None:
    """Delete the account's key for a provider, or its own endpoint."""
    await service.delete_provider_key(services.pool, account_id, provider, by=actor)


@router.post("/provider-keys/{provider}/test", responses={429: {}})
@administers
async def test_provider_key(
    provider: NamedProvider, account_id: AccountId, services: Provided, body: ProviderTest
) -> ProviderTestResult:
    """Test a stored key or endpoint with one cheap request, and return the provider's answer."""
    stored = await service.open_provider_key(services.pool, services.vault, account_id, provider)
    if stored is None:
        raise NotFound(f"There is no key for {provider}.")
    services.provider_tests.take(account_id)
    outcome = await probe_stored(services.settings, provider, stored, body.model)
    return ProviderTestResult(
        is_working=outcome.fault is None,
        status=outcome.status,
        answer=outcome.answer,
        error=outcome.fault,
        duration_ms=outcome.duration_ms,
    )


def _endpoint(name: str, body: ProviderKeyInput, destinations: Destinations) -> model.OwnEndpoint | None:
    """The endpoint that the body describes; None: the name is a provider's of the platform.

    Raises:
        ValidationError: a field is missing, or not for this name, or the address is not allowed.
    """
    if name == OFFLINE.name:
        raise ValidationError.at("provider", "offline takes no key: it is an offline script, no AI")
    if name in PROVIDERS:
        if body.api_key is None:
            raise ValidationError.at("apiKey", "is required")
        fields = {"baseUrl": body.base_url, "api": body.api, "price": body.price}
        if surplus := next((field for field, value in fields.items() if value is not None), None):
            raise ValidationError.at(surplus, f"is for endpoints of your own; {name} is the platform's")
        return None
    if body.base_url is None:
        needed = f"is required: {name} is none of {', '.join(PROVIDERS)}, so it is an endpoint of your own"
        raise ValidationError.at("baseUrl", needed)
    if body.api is None:
        raise ValidationError.at("api", "is required for an endpoint of your own")
    if fault := destinations.url_fault(body.base_url):
        raise ValidationError.at("baseUrl", fault)
    return model.OwnEndpoint(body.base_url.rstrip("/"), body.api, _rates(body.price))


def _rates(price: TokenPriceInput | None) -> Rates | None:
    if price is None:
        return None
    input_ = Decimal(str(price.input))
    read, write = (
        input_ if value is None else Decimal(str(value)) for value in (price.cache_read, price.cache_write)
    )
    return Rates(input_, Decimal(str(price.output)), read, write)


def _response(key: model.ProviderKey) -> ProviderKey:
    endpoint = key.endpoint
    rates = endpoint.rates if endpoint else None
    return ProviderKey.of(
        key,
        base_url=endpoint.base_url if endpoint else None,
        api=endpoint.protocol if endpoint else None,
        price=None if rates is None else TokenPrice.of(rates),
    )
