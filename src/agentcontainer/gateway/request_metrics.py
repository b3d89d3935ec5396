"""Counts model requests in the metrics: their number, duration, tokens and cost."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from agentcontainer.domain.models import catalogue
from agentcontainer.gateway.faults import Unavailable
from agentcontainer.gateway.usage import Usage
from agentcontainer.providers import PROVIDERS
from agentcontainer.telemetry import metrics

OWN = "own"
OTHER = "other"


class Request:
    """One request that is sent to a provider."""

    def __init__(self, provider: str, model: str) -> None:
        self.is_failed = False
        """Whether the provider answered with an error, or its answer broke off."""
        self._labels = labels_of(provider, model)
        self._sent_at = time.perf_counter()
        self._is_answered = False

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._sent_at

    def answer_begins(self) -> None:
        """Record that the agent gets the first bytes of the answer now; calls after the first do nothing."""
        if not self._is_answered:
            self._is_answered = True
            metrics.MODEL_FIRST_TOKEN.labels(*self._labels).observe(self.seconds)

    def end(self, outcome: str) -> None:
        metrics.MODEL_REQUESTS.labels(*self._labels, outcome).inc()
        metrics.MODEL_SECONDS.labels(*self._labels).observe(self.seconds)


@contextmanager
def measured(provider: str, model: str) -> Generator[Request]:
    """Count the request that is sent in this block, with its outcome: `ok`, `error` (the agent gets an error),
    `unavailable` (it may be sent again) or `cancelled` (the attempt ended, or the agent disconnected)."""
    request, outcome = Request(provider, model), "cancelled"
    try:
        yield request
        outcome = "error" if request.is_failed else "ok"
    except Unavailable:
        outcome = "unavailable"
        raise
    except Exception:
        outcome = "error"
        raise
    finally:
        request.end(outcome)


def count_usage(provider: str, usage: Usage) -> None:
    """Count the tokens and the cost of one answer."""
    labels = labels_of(provider, usage.model)
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    for kind, tokens in (
        ("input", max(0, usage.input_tokens - cached)),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("output", usage.output_tokens),
    ):
        metrics.MODEL_TOKENS.labels(*labels, kind).inc(tokens)
    metrics.MODEL_COST.labels(*labels).inc(usage.cost_micro_usd / 1_000_000)


def labels_of(provider: str, model: str) -> tuple[str, str]:
    """The labels of a provider and its model. Accounts choose the names of their own endpoints, and agents can name any
    model, so only what the platform knows has a label of its own."""
    if provider not in PROVIDERS:
        return OWN, OTHER
    is_known = catalogue.is_known(provider, model) or model == PROVIDERS[provider].only_model
    return provider, catalogue.wire_id(provider, model) if is_known else OTHER
