"""The routes that say what a client can choose: models, regions, registries, and what this installation lacks."""

import hashlib
from typing import Annotated, Literal, Self

from fastapi import Query
from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer import __version__
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import Order, PageInfo, PageQuery
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.dispatch import MAX_TEXT_BYTES
from agentcontainer.api.schemas.execution import MAX_TASK_SECONDS
from agentcontainer.api.schemas.prices import TokenPrice
from agentcontainer.api.wire import Outgoing, Provider, Region
from agentcontainer.db import Page
from agentcontainer.domain.execution.service import platform_defaults
from agentcontainer.domain.models import offered
from agentcontainer.domain.tasks import runners
from agentcontainer.providers import OFFLINE, PROVIDERS
from agentcontainer.settings import Settings

MAX_LIMIT = 1000
SwitchedOff = TypeAliasType(
    "SwitchedOff", Literal["internet_access", "offline_model", "images", "own_destinations"]
)

router = authenticated("Choices")


class OfferedModel(Outgoing):
    """A model that a task can name, with its provider."""

    provider: Provider
    id: str
    is_default: Annotated[
        bool, Field(description="Tasks use it if neither the agent nor the task names another.")
    ]
    context_window: Annotated[int | None, Field(description="In tokens. Null: not known.")]
    max_output_tokens: Annotated[int | None, Field(description="Of one answer. Null: not known.")]
    price: Annotated[
        TokenPrice | None,
        Field(description="Null: not known, so that `budget.maxCostUsd` cannot be enforced."),
    ]

    @classmethod
    def of_model(cls, model: offered.OfferedModel, settings: Settings) -> Self:
        """The model as it is sent."""
        default = platform_defaults(settings)
        return cls.of(
            model,
            is_default=(model.provider, model.id) == (default.provider, default.model),
            price=model.price and TokenPrice.of(model.price.rates),
        )


class OfferedModelPage(Outgoing):
    """A page of models."""

    data: list[OfferedModel]
    page_info: PageInfo


class ModelsQuery(PageQuery):
    """Which models to list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Entries of a page."), from_digits] = 20
    order: Annotated[Order, Field(description="By provider and id.")] = "asc"
    provider: Annotated[Provider | None, Field(description="Only the models of this provider.")] = None


class RegionChoice(Outgoing):
    """A value of `runtimeRegion`."""

    region: Region
    has_runner: Annotated[bool, Field(description="Whether a runner that takes its tasks is running now.")]


class Capabilities(Outgoing):
    """What this installation offers."""

    version: str
    providers: Annotated[list[Provider], Field(description="The platform's own.")]
    regions: list[RegionChoice]
    registries: Annotated[list[str], Field(description="Registries whose images agents may use.")]
    internet_access: Annotated[bool, Field(description="Whether `internetAccess: true` is accepted.")]
    max_upload_bytes: int
    max_text_bytes: Annotated[int, Field(description="Of instructions, and of a message.")]
    max_runtime_seconds: int
    max_hibernation_days: int
    switched_off: Annotated[
        list[SwitchedOff],
        Field(
            description="What the operator has switched off. `own_destinations`: repositories and model endpoints of "
            "the client's own."
        ),
    ]


@router.get("/models")
@access(Level.READS, Agents.INDEPENDENT)
async def list_models(
    _account_id: AccountId, services: Provided, query: Annotated[ModelsQuery, Query()]
) -> OfferedModelPage:
    """List the models of the platform's providers, with their prices.

    Other ids are accepted too: new models appear more often than releases of the platform.
    """
    settings = services.settings
    models = list(offered.offered(settings.model_prices_file, has_offline=settings.has_offline_model))
    if query.provider is not None:
        models = [model for model in models if model.provider == query.provider]
    if query.order == "desc":
        models.reverse()
    if (after := paging.position("models", query)) is not None:
        positions = [_position(model) for model in models]
        if after not in positions:
            raise paging.not_a_cursor()
        models = models[positions.index(after) + 1 :]
    page = Page(models[: query.limit], len(models) > query.limit)
    return OfferedModelPage(
        data=[OfferedModel.of_model(model, settings) for model in page.rows],
        page_info=paging.page_info("models", page, _position),
    )


@router.get("/capabilities")
@access(Level.READS, Agents.INDEPENDENT)
async def get_capabilities(_account_id: AccountId, services: Provided) -> Capabilities:
    """Say what this installation offers, and what its operator has switched off."""
    settings = services.settings
    served = await runners.served_regions(services.pool, settings.runner_lost_after_seconds)
    regions: tuple[Region, ...] = ("any", "eu")
    return Capabilities(
        version=__version__,
        providers=[name for name in PROVIDERS if name != OFFLINE.name or settings.has_offline_model],
        regions=[RegionChoice(region=region, has_runner=region in served) for region in regions],
        registries=[entry.rpartition("://")[2] for entry in settings.image_registries],
        internet_access=settings.internet_access,
        max_upload_bytes=settings.max_upload_bytes,
        max_text_bytes=MAX_TEXT_BYTES,
        max_runtime_seconds=MAX_TASK_SECONDS,
        max_hibernation_days=settings.max_hibernation_days,
        switched_off=_switched_off(settings),
    )


def _switched_off(settings: Settings) -> list[SwitchedOff]:
    states: dict[SwitchedOff, bool] = {
        "internet_access": not settings.internet_access,
        "offline_model": not settings.has_offline_model,
        "images": not settings.image_registries and not settings.image_folders,
        "own_destinations": settings.egress_proxy_only,
    }
    return [name for name, is_off in states.items() if is_off]


def _position(model: offered.OfferedModel) -> str:
    """The model's place in the list: a cursor cannot hold all the characters of an id."""
    return hashlib.sha256(f"{model.provider}:{model.id}".encode()).hexdigest()[:32]
