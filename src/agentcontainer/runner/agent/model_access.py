"""Gives an attempt access to its models: starts the gateway, counts the usage, and lets a model write the title."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from agentcontainer import db
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.model import OwnEndpoint
from agentcontainer.domain.execution import model
from agentcontainer.domain.models import catalogue, prices
from agentcontainer.domain.tasks import budgets, service, store
from agentcontainer.domain.tasks.event_data import ModelRetried
from agentcontainer.domain.tasks.model import Claim, Task, TaskUsage
from agentcontainer.gateway.app import Gateway
from agentcontainer.gateway.budget import Budget
from agentcontainer.gateway.judged_client import judged_client
from agentcontainer.gateway.offline_model import OFFLINE_KEY
from agentcontainer.gateway.patience import Patience
from agentcontainer.gateway.request_metrics import count_usage, tokens_of
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.title import write_title
from agentcontainer.gateway.usage import Usage
from agentcontainer.providers import OFFLINE, PROVIDERS, Provider, own
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.sandbox.destinations import Destinations

logger = logging.getLogger(__name__)

WRITE_SECONDS = 5.0  # how long the end of an attempt waits for a database that is away


def models_of(task: Task) -> list[str]:
    """The provider's ids of the task's model and, if it has one, its weak model, in this order."""
    provider = task.execution.provider
    models = (task.execution.model, task.execution.weak_model)
    return [catalogue.wire_id(provider, model) for model in models if model is not None]


def weak_model_of(task: Task) -> str | None:
    return models_of(task)[-1] if task.execution.weak_model is not None else None


@dataclass(frozen=True)
class Upstream:
    """A task's provider, where its requests are sent, and the key that they carry."""

    provider: Provider
    base_url: str
    key: str = field(repr=False)
    endpoint: OwnEndpoint | None = None
    """The account's own, if the provider is one; it may need no key."""
    is_offline: bool = False
    """Whether the offline model answers, for the provider `offline` or in place of another. It costs nothing."""


async def upstream(services: Services, task: Task) -> Upstream | None:
    """Where the task's model requests are sent; None: there is no key for its provider, or no such endpoint.

    A key of the task is for providers of the platform, and never sent to an endpoint of an account's own.

    Raises:
        SettingsError: the key cannot be decrypted with this installation's secret key.
        AgentContainerError: the offline model does not start.
    """
    name, settings = task.execution.provider, services.settings
    if name in PROVIDERS and (PROVIDERS[name].is_offline or settings.offline_model == "all"):
        # A client's key is not sent to the offline model, which has no use for it.
        url = await services.offline_model.url()
        return Upstream(PROVIDERS[name], url, OFFLINE_KEY, is_offline=True)
    if name in PROVIDERS:
        sealed = await store.provider_key_ciphertext(services.pool, task.id)
        if sealed is not None:
            key = services.vault.open(sealed, task.id)
            return Upstream(PROVIDERS[name], settings.base_urls[name], key)
    stored = await accounts.open_provider_key(services.pool, services.vault, task.account_id, name)
    if stored is None:
        return None
    if stored.endpoint is not None:
        provider = own(name, stored.endpoint.protocol)
        return Upstream(provider, stored.endpoint.base_url, stored.key or "", stored.endpoint)
    return Upstream(PROVIDERS[name], settings.base_urls[name], stored.key) if stored.key else None


class ModelAccess:
    """One attempt's access to models, with one provider key."""

    def __init__(
        self,
        services: Services,
        claim: Claim,
        task: Task,
        upstream: Upstream,
        log: EventLog,
        trace: AttemptTrace,
    ) -> None:
        self._trace = trace
        settings, provider = services.settings, task.execution.provider
        answering = OFFLINE if upstream.is_offline else upstream.provider
        self._patience_seconds = settings.provider_patience_seconds
        self._log = log
        self._gateway: Gateway | None = None
        self._pool = services.pool
        self._settings = settings
        self._client = services.client
        self._claim = claim
        self._task = task
        endpoint, base_url = upstream.endpoint, upstream.base_url
        price = prices.of_endpoint(endpoint.rates) if endpoint else None
        self._destinations = Destinations.of(settings) if endpoint else None
        self._route = Route(
            provider,
            base_url,
            frozenset(models_of(task)),
            upstream.key,
            None if endpoint else services.proxies.for_url(base_url),
            answering.title,
            endpoint.protocol if endpoint else None,
            upstream.is_offline,
        )
        self._budget = Budget(
            task.execution.budget,
            lambda model: (
                price if endpoint else prices.find(answering.name, model, settings.model_prices_file)
            ),
            used_tokens=task.input_tokens + task.output_tokens + task.unreported_tokens,
            used_micro_usd=task.model_cost_micro_usd,
            read_limits=self._read_limits,
        )
        self._input_tokens = task.input_tokens
        self._output_tokens = task.output_tokens
        self._cached_input_tokens = task.cached_input_tokens
        self._unreported_tokens = task.unreported_tokens
        self._cost_micro_usd = task.model_cost_micro_usd
        self._writing: set[asyncio.Task[None]] = set()

    async def open(self, stack: contextlib.AsyncExitStack, socket: Path, subject: str) -> Gateway:
        """Start the gateway, and if the task wants a title from a model, begin to write it from `subject`. `stack`
        stops both, and waits until their usage is written."""
        if self._destinations is not None:
            self._client = await stack.enter_async_context(judged_client(self._destinations))
        gateway = Gateway(
            self._route, socket, self._count, self._client, budget=self._budget,
            patience=Patience(self._patience_seconds), on_retry=self._log_retry,
            on_call=self._trace.on_call, captures_content=self._trace.captures_content,
        )  # fmt: skip
        self._gateway = gateway
        stack.push_async_callback(self._end_writing)
        await gateway.start()
        stack.push_async_callback(gateway.close)
        if self._task.title_source == "model" and self._claim.attempt == 1:
            stack.push_async_callback(_cancel, asyncio.create_task(self._write_title(subject)))
        return gateway

    def _log_retry(self, failures: int, seconds: float) -> None:
        error = self._gateway.last_error if self._gateway else None
        message = error.clause(self._task.execution.provider) if error else ""
        self._log.add(ModelRetried(failures, message, wait_ms=round(seconds * 1000)))

    async def _count(self, usage: Usage) -> None:
        """Add the usage of a request, and write the totals: an increment could be written twice, by a retry."""
        count_usage(self._route.answered_by, usage)
        self._trace.count(tokens_of(usage))
        self._input_tokens += usage.input_tokens
        self._output_tokens += usage.output_tokens
        self._unreported_tokens += usage.unreported_tokens
        self._cost_micro_usd += usage.cost_micro_usd
        self._cached_input_tokens += usage.cache_read_tokens
        totals = TaskUsage(
            self._input_tokens, self._output_tokens, self._unreported_tokens, self._cost_micro_usd,
            self._cached_input_tokens,
        )  # fmt: skip
        writing = asyncio.create_task(self._write(totals))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)  # the request is cancelled if the agent disconnects or the attempt ends

    async def _write(self, totals: TaskUsage) -> None:
        limits = await db.retry_while_unavailable(
            lambda: budgets.count(self._pool, self._settings, self._claim, totals)
        )
        if limits is not None:  # None also when the attempt has lost its claim
            self._budget.set_limits(limits)

    async def _read_limits(self) -> model.Budget | None:
        return await db.retry_while_unavailable(lambda: budgets.read(self._pool, self._claim.task_id))

    async def _end_writing(self) -> None:
        if self._writing:
            _, late = await asyncio.wait(self._writing, timeout=WRITE_SECONDS)
            await asyncio.gather(*(_cancel(writing) for writing in late))

    async def _write_title(self, subject: str) -> None:
        """Let a model write the task's title. If that fails, the task keeps the title that it has."""
        try:
            title = await write_title(
                self._route, self._client, self._budget, self._count, models_of(self._task)[-1],
                subject, self._trace.on_call,
            )  # fmt: skip
            if title is not None:
                await service.set_title(self._pool, self._claim, db.storable(title))
        except Exception:
            logger.exception("%s: no title was written", self._claim.task_id)


async def _cancel(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
