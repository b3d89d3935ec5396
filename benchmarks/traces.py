"""What do traces cost a task? Without an endpoint, with a collector, and with one that cannot be reached.

    .venv/bin/python benchmarks/traces.py [--runs 15] [--steps 10]

Three platforms with the scripted model run the same task in turn, so that what else happens on the host meets all of
them. Prints the median of the task's duration, of the CPU time of its runner for each task, and the ratios to the
platform without an endpoint.
"""

import argparse
import socket
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from capacity import scripted_model
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.acceptance.bed import Platform, finish, script
from tests.otlp_receiver import otlp_receiver


def measure(
    platforms: dict[str, Platform], runs: int, steps: int
) -> dict[str, tuple[list[float], list[float]]]:
    """The seconds and the CPU seconds of each run, by platform."""
    results: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in platforms}
    clients = {name: platform.account(credit="1000") for name, platform in platforms.items()}
    instructions = script(*[{"bash": "true"}] * steps, finish())
    for run in range(runs + 1):
        for name, platform in platforms.items():
            runner = psutil.Process(platform.pid("runner"))
            before, began = sum(runner.cpu_times()[:2]), time.monotonic()
            task_id = clients[name].dispatch(instructions)
            clients[name].sdk.tasks.get(task_id).wait()
            if run:  # the first one warms up
                results[name][0].append(time.monotonic() - began)
                results[name][1].append(sum(runner.cpu_times()[:2]) - before)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    with ExitStack() as stack, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        collector = stack.enter_context(otlp_receiver())
        url = stack.enter_context(scripted_model())
        endpoints = {
            "no endpoint": None,
            "collector": collector.url,
            "unreachable": f"http://127.0.0.1:{closed.getsockname()[1]}",
        }
        platforms: dict[str, Platform] = {}
        for name, endpoint in endpoints.items():
            platform = Platform(url, capacity="2")
            if endpoint is not None:
                platform.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
            platforms[name] = stack.enter_context(platform)
        results = measure(platforms, arguments.runs, arguments.steps)
        platforms["collector"].stop()  # it sends what is left
        spans = len(collector.spans)
    show(results, arguments.steps)
    print(f"{spans} spans arrived.")


def show(results: dict[str, tuple[list[float], list[float]]], steps: int) -> None:
    table = Table("traces", f"task of {steps + 1} tool calls", "ratio", "CPU time of the runner", "ratio")
    base = [statistics.median(values) for values in results["no endpoint"]]
    for name, measured in results.items():
        seconds, cpu = (statistics.median(values) for values in measured)
        table.add_row(
            name,
            f"{seconds * 1000:.0f} ms",
            f"{seconds / base[0]:.3f}",
            f"{cpu * 1000:.0f} ms",
            f"{cpu / base[1]:.3f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
