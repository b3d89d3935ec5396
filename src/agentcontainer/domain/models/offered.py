"""The models that tasks may name, with their limits and prices: those of the catalogue and of the price file."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentcontainer.domain.models import catalogue, prices
from agentcontainer.domain.models.prices import Price
from agentcontainer.price_file import PriceFile
from agentcontainer.providers import PROVIDERS


@dataclass(frozen=True)
class OfferedModel:
    """A model of one of the platform's providers. `context_window` and `max_output_tokens` None: not known.

    `price` None: it is not known, so that no budget in dollars can be enforced.
    """

    provider: str
    id: str
    context_window: int | None
    max_output_tokens: int | None
    price: Price | None


def offered(file: PriceFile | None, *, has_offline: bool) -> Sequence[OfferedModel]:
    """The models by provider and id. An endpoint of an account's own may have any others.

    `has_offline`: whether the installation offers the offline script.
    """
    models = list[OfferedModel]()
    for provider in PROVIDERS.values():
        if provider.is_offline and not has_offline:
            continue
        ids = {*catalogue.ids(provider.name), *(file.prices.get(provider.name, {}) if file else ())}
        wire_ids = {catalogue.wire_id(provider.name, id_) for id_ in ids}
        if provider.only_model is not None:
            wire_ids.add(provider.only_model)
        models += [_model(provider.name, id_, file) for id_ in wire_ids]
    return sorted(models, key=lambda model: (model.provider, model.id))


def _model(provider: str, id_: str, file: PriceFile | None) -> OfferedModel:
    entry = catalogue.find(provider, id_)
    return OfferedModel(
        provider,
        id_,
        entry.context_window if entry else None,
        entry.max_tokens if entry else None,
        prices.find(provider, id_, file),
    )
