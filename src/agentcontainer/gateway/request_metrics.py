"""Counts model requests in the metrics, and describes each for the trace of its task."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from yarl import URL

from agentcontainer.domain.models import catalogue
from agentcontainer.gateway.admission import Admitted
from agentcontainer.gateway.faults import Unavailable
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.message_content import AnswerContent, input_messages, system_instructions
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.usage import Meter, Usage
from agentcontainer.providers import PROVIDERS
from agentcontainer.redaction import encodings_of, redact_text
from agentcontainer.telemetry import metrics
from agentcontainer.telemetry.tracing import MAX_CONTENT_CHARACTERS, Content, ModelCall, Stopwatch, Tokens

logger = logging.getLogger(__name__)

OWN = "own"
OTHER = "other"
MAX_REQUEST_BYTES = 2 * 1024**2  # a longer request is not read again for its texts
_LIMITS = ("max_tokens", "max_output_tokens", "max_completion_tokens")


@dataclass
class Request:
    """One request that is sent to a provider. `answer`: collects its answer, if traces have content."""

    provider: str
    model: str
    answer: AnswerContent | None = None
    interval: Stopwatch = field(default_factory=Stopwatch)
    is_failed: bool = False
    """Whether the provider answered with an error, or its answer broke off."""
    error_status: int | None = None
    """The status of the provider's error, if it answered with one."""
    outcome: str = "cancelled"
    usage: Usage | None = None
    meter: Meter | None = None
    finish_reason: str | None = None
    first_chunk_seconds: float | None = None

    @property
    def labels(self) -> tuple[str, str]:
        return labels_of(self.provider, self.model)

    def take(self, chunk: bytes) -> None:
        """Record that the agent gets these bytes of the answer now."""
        if self.first_chunk_seconds is None and chunk:
            self.first_chunk_seconds = self.interval.seconds
            metrics.MODEL_FIRST_TOKEN.labels(*self.labels).observe(self.first_chunk_seconds)
        if self.answer is not None:
            self.answer.feed(chunk)

    def stop(self, finish_reason: str | None) -> None:
        """Record why the provider ended its answer."""
        self.finish_reason = finish_reason

    def end(self, outcome: str) -> None:
        self.outcome = outcome
        self.interval.stop()
        metrics.MODEL_REQUESTS.labels(*self.labels, outcome).inc()
        metrics.MODEL_SECONDS.labels(*self.labels).observe(self.interval.seconds)

    @property
    def error_type(self) -> str | None:
        """The status that the provider answered with, or else the outcome; None: it answered. An agent may disconnect
        as soon as it has the whole answer."""
        is_answered = self.outcome == "cancelled" and self.meter is not None and self.meter.is_complete
        if self.outcome == "ok" or is_answered:
            return None
        return str(self.error_status) if self.error_status is not None else self.outcome


@contextmanager
def measured(request: Request) -> Generator[None]:
    """Count the request that is sent in this block, with its outcome: `ok`, `error` (the agent gets an error),
    `unavailable` (it may be sent again) or `cancelled` (the attempt ended, or the agent disconnected)."""
    outcome = "cancelled"
    try:
        yield
        outcome = "error" if request.is_failed else "ok"
    except Unavailable:
        outcome = "unavailable"
        raise
    except Exception:
        outcome = "error"
        raise
    finally:
        request.end(outcome)


def answer_content(admitted: Admitted) -> AnswerContent:
    """What collects the texts of the answer."""
    return AnswerContent(admitted.wire, is_stream=admitted.is_stream, limit=MAX_CONTENT_CHARACTERS)


def report(
    on_call: Callable[[ModelCall], None] | None, route: Route, admitted: Admitted, request: Request
) -> None:
    """Describe a request that has ended to `on_call`. A fault in that must not become one of the request."""
    if on_call is not None:
        try:
            on_call(model_call(route, admitted, request))
        except Exception:
            logger.exception("a model request could not be reported to the traces")


def model_call(route: Route, admitted: Admitted, request: Request) -> ModelCall:
    """The request as traces have it. The key is in none of it."""
    url, meter = URL(route.base_url), request.meter
    limits = (admitted.tail.get(name) for name in _LIMITS)
    return ModelCall(
        interval=request.interval,
        provider=request.provider,
        model=admitted.model,
        labels=request.labels,
        server_address=url.host,
        server_port=url.port,
        is_stream=admitted.is_stream,
        max_tokens=next((limit for limit in limits if isinstance(limit, int)), None),
        tokens=None if request.usage is None else tokens_of(request.usage),
        first_chunk_seconds=request.first_chunk_seconds,
        response_id=_clean(route, meter and meter.response_id),
        response_model=_clean(route, meter and meter.response_model),
        finish_reason=_clean(route, request.finish_reason),
        error_type=request.error_type,
        content=Content() if request.answer is None else _content(route, admitted, request, request.answer),
    )


def _content(route: Route, admitted: Admitted, request: Request, answer: AnswerContent) -> Content:
    is_short = len(admitted.head) <= MAX_REQUEST_BYTES
    body = (JsonObject.parse(admitted.head) if is_short else None) or JsonObject({})
    try:
        return Content(
            _clean(route, system_instructions(admitted.wire, body, MAX_CONTENT_CHARACTERS)),
            _clean(route, input_messages(admitted.wire, body, MAX_CONTENT_CHARACTERS)),
            _clean(route, answer.messages(request.finish_reason)),
        )
    except (ValueError, RecursionError):  # nested too deeply
        return Content()


def _clean(route: Route, text: str | None) -> str | None:
    if text is None or not route.api_key:
        return text
    return redact_text(text, encodings_of(route.api_key))


def tokens_of(usage: Usage) -> Tokens:
    """The usage as traces have it."""
    return Tokens(
        usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens, usage.cost_micro_usd,
    )  # fmt: skip


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
