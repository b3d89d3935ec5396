"""The metrics: their names against the documents, and labels that clients and agents cannot blow up."""

import asyncio

import pytest

from agentcontainer.domain.tasks import counting
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.gateway import request_metrics
from agentcontainer.gateway.usage import Usage
from agentcontainer.telemetry import metrics
from agentcontainer.telemetry.exposition import Exposition
from scripts.render_metrics import END, PAGE, START, series, table


def value(name: str, **labels: str) -> float:
    registry = metrics.registry_of(metrics.OF_API, metrics.OF_INSTALLATION, metrics.OF_RUNNER)
    return registry.get_sample_value(f"agentcontainer_{name}", labels) or 0.0


def test_the_table_in_docs_lists_every_metric() -> None:
    _, _, rest = PAGE.read_text().partition(START)
    assert rest.partition(END)[0].strip() == table(), "run `make docs`"


def test_names_have_the_prefix_base_units_and_few_labels() -> None:
    for name, labels in series().items():
        assert name.startswith("agentcontainer_")
        assert not name.endswith(("_ms", "_milliseconds", "_minutes", "_mb"))
        assert not {"task", "account", "agent", "path", "id", "host"} & set(labels), name
        assert len(labels) <= 4, name


def test_a_tool_that_a_model_invents_has_no_label_of_its_own() -> None:
    before = value("tool_calls_total", tool="other", outcome="error")
    for number in range(3):
        data = {"callId": "c", "tool": f"invented-{number}", "isError": True, "output": "", "durationMs": 5}
        counting.count([Draft("tool.completed", data)], "autonomous", 1.0)
    assert value("tool_calls_total", tool="other", outcome="error") == before + 3


@pytest.mark.parametrize(
    ("provider", "model", "labels"),
    [
        ("anthropic", "claude-sonnet-4.6", ("anthropic", "claude-sonnet-4-6")),
        ("anthropic", "invented", ("anthropic", "other")),
        ("offline", "offline-script", ("offline", "offline-script")),
        ("tenants-own-name", "claude-sonnet-4-6", ("own", "other")),
    ],
)
def test_only_what_the_platform_knows_is_a_label_of_models(
    provider: str, model: str, labels: tuple[str, str]
) -> None:
    assert request_metrics.labels_of(provider, model) == labels


def test_cached_tokens_are_counted_once() -> None:
    labels = {"provider": "anthropic", "model": "claude-sonnet-4-6"}
    kinds = ("input", "cache_read", "cache_write", "output")
    before = {kind: value("model_tokens_total", type=kind, **labels) for kind in kinds}
    usage = Usage("claude-sonnet-4-6", 100, 7, cache_read_tokens=60, cache_write_tokens=30)
    request_metrics.count_usage("anthropic", usage)
    counted = {kind: value("model_tokens_total", type=kind, **labels) - before[kind] for kind in kinds}
    assert counted == {"input": 10, "cache_read": 60, "cache_write": 30, "output": 7}


def test_container_time_counts_while_containers_run() -> None:
    before, now = value("container_seconds_total"), 100.0
    clock = metrics.ContainerTime(lambda: now)
    clock.change(+1)
    now = 110.0
    clock.count()
    assert value("container_seconds_total") == pytest.approx(before + 10)
    clock.change(+1)
    now = 111.0
    clock.change(-1)
    clock.change(-1)
    now = 200.0
    clock.count()
    assert value("container_seconds_total") == pytest.approx(before + 12)


def test_a_scrape_answers_although_a_gauge_cannot_be_read() -> None:
    async def fail() -> None:
        raise OSError("the database is away")

    text = asyncio.run(Exposition(metrics.registry_of(metrics.OF_API), fail).text()).decode()
    assert 'agentcontainer_build_info{version="' in text
    assert "agentcontainer_process_open_files " in text
    assert "_total_created" not in text
    assert "_seconds_created" not in text
