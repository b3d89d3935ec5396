"""Write the table of metrics in docs/operations/monitoring.md, from telemetry/metrics.py (`make docs`)."""

from pathlib import Path

from prometheus_client import Histogram

from agentcontainer.telemetry import metrics
from agentcontainer.telemetry.metrics import Metric

START, END = "<!-- generated from telemetry/metrics.py -->", "<!-- end -->"
PAGE = Path(__file__).parents[1] / "docs/operations/monitoring.md"
WHERE = {
    "every process": metrics.EVERYWHERE,
    "API": metrics.OF_API,
    "API, of the installation": metrics.OF_INSTALLATION,
    "runner": metrics.OF_RUNNER,
}


def table() -> str:
    """A table with a row for each metric: its name and labels, type, where it is served, and its meaning."""
    lines = ["| metric | type | of | meaning |", "| --- | --- | --- | --- |"]
    for where, group in WHERE.items():
        for metric in group:
            [described] = metric.describe()
            labels = ",".join(labels_of(metric))
            name = f"{name_of(metric)}{{{labels}}}" if labels else name_of(metric)
            lines.append(f"| `{name}` | {described.type} | {where} | {described.documentation} |")
    return "\n".join(lines)


def name_of(metric: Metric) -> str:
    """The metric's name, as a query has it; of a histogram without `_bucket`, `_sum` and `_count`."""
    [described] = metric.describe()
    return f"{described.name}_total" if described.type == "counter" else described.name


def labels_of(metric: Metric) -> tuple[str, ...]:
    return tuple(metric._labelnames)


def series() -> dict[str, tuple[str, ...]]:
    """The names that queries may use, each with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for group in WHERE.values():
        for metric in group:
            name, labels = name_of(metric), labels_of(metric)
            if isinstance(metric, Histogram):
                found |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": (*labels, "le")}
            else:
                found[name] = labels
    return found


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{after}")
