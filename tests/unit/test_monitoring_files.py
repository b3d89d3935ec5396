"""The Grafana dashboard and the alert rules in docs/operations use metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.render_metrics import series

FOLDER = Path(__file__).parents[2] / "docs/operations"
PAGE = (FOLDER / "monitoring.md").read_text()
# What Prometheus adds to each series.
ADDED_LABELS = {"instance", "job"}
USE = re.compile(r"\b(agentcontainer_\w+)(?:\{([^}]*)\})?")


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return group["rules"]


def panels() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "grafana.json").read_text())["panels"]


def queries() -> Iterator[tuple[str, str]]:
    """The name and the query of each alert and panel, and the labels that its texts name."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


QUERIES = list(queries())


@pytest.mark.parametrize(
    ("name", "query"), QUERIES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(QUERIES)]
)
def test_a_query_uses_metrics_and_labels_that_exist(name: str, query: str) -> None:
    known, used = series(), USE.findall(query)
    assert used
    labels = set(ADDED_LABELS)
    for metric, matchers in used:
        assert metric in known, metric
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= set(known[metric]) | ADDED_LABELS
        labels |= set(known[metric])
    for group in re.findall(r"\b(?:by|without) \(([^)]*)\)", query):
        assert {label.strip() for label in group.split(",")} <= labels, group
    assert query.count("(") == query.count(")")


def test_texts_name_labels_that_their_query_keeps() -> None:
    for rule in alerts():
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))))
        texts = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= kept, rule["alert"]
    for panel in panels():
        for target in panel["targets"]:
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_gauges_of_the_installation_are_not_added_up() -> None:
    """Every API process reports the same value."""
    from agentcontainer.telemetry.metrics import OF_INSTALLATION

    for name, query in QUERIES:
        for gauge in OF_INSTALLATION:
            [described] = gauge.describe()
            for use in re.finditer(rf"(\w+)\s*(?:by \([^)]*\)\s*)?\(\s*{described.name}\b", query):
                assert use[1] in ("max", "min"), f"{name}: {described.name}"


def test_alerts_have_names_of_their_own_and_the_page_says_what_to_do_for_each() -> None:
    rules = alerts()
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"| `{rule['alert']}` |" in PAGE
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_panels_have_an_id_and_a_place_of_their_own() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()}
    assert len(places) == len(panels())
