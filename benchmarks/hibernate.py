"""What does a hibernation cost? Checkpoint, wake-up to the first model request, and the pause of a periodic checkpoint.

    .venv/bin/python benchmarks/hibernate.py [--runs 5] [--gigabyte]

For workspaces of 0, 50 MB in 5,000 files, and (--gigabyte) 1 GB in 1,000. Beside it `tar | zstd -1` of the same tree on
this host and its way back, without any platform. Prints a table with medians.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from first_request import AGENT, MODEL, PROVIDER, first_request_after
from rich.console import Console
from rich.table import Table

from agentcontainer import settings
from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.installation import running
from agentcontainer.gateway.scripted import ScriptedModel, serve
from agentcontainer_client import AsyncAgentContainer, AsyncTask

FILL = (
    "import os\nfor i in range({files}):\n    os.makedirs(f'data/{{i % 100}}', exist_ok=True)\n"
    "    open(f'data/{{i % 100}}/{{i}}', 'wb').write(os.urandom({bytes} // 2) + bytes({bytes} - {bytes} // 2))\n"
)
WAIT_SECONDS = 300


@dataclass
class Measured:
    """Seconds of each run."""

    sleeping: list[float] = field(default_factory=list[float])  # from the command to the container's end
    waking: list[float] = field(default_factory=list[float])  # from POST /wake to the model's next request
    pausing: list[float] = field(
        default_factory=list[float]
    )  # how long a periodic checkpoint froze the agent
    packing: list[float] = field(default_factory=list[float])
    unpacking: list[float] = field(default_factory=list[float])


def script(steps: Iterable[dict[str, Any]]) -> str:
    return f"Work.\n```script\n{json.dumps(list(steps))}\n```"


async def measure(runs: int, files: int, size: int) -> Measured:
    measured = Measured()
    fill = FILL.format(files=files, bytes=size)
    with tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as name:
        async with await serve() as model:
            await _platform(model, runs, fill, Path(name) / "d", measured)
        for _ in range(runs):
            _alone(fill, Path(name) / "alone", measured)
    return measured


async def _platform(model: ScriptedModel, runs: int, fill: str, folder: Path, measured: Measured) -> None:
    configured = settings.load(data_dir=folder, port=0, anthropic_base_url=model.url, checkpoint_seconds=2)
    data_folder.prepare(configured.data_dir)
    data_folder.ensure_secret_key(configured.data_dir)
    async with (
        running(configured, os.environ, print) as started,
        AsyncAgentContainer(started.base_url, started.api_key) as client,
    ):
        await client.provider_keys.set(PROVIDER, "sk-benchmark-key")
        nap = {"bash": "hibernate --message nap --for 1h"}
        steps = [{"bash": f'python3 -c "{fill}" && sleep 3'}, *([nap] * (runs + 1))]
        task = await client.tasks.create(script(steps), agent=AGENT, provider=PROVIDER, model=MODEL)

        async def wake() -> None:
            await task.wake()

        for _ in range(runs):
            await _until(task, "hibernating")
            measured.waking.append(await first_request_after(model, wake))
        await _until(task, "hibernating")
        events = [event async for event in task.events()]
        await task.cancel()
    began = [event for event in events if event.type == "tool.started" and "hibernate" in str(event.data)]
    slept = [event for event in events if event.type == "task.hibernated"]
    pairs = zip(began, slept, strict=True)
    measured.sleeping += [(end.created_at - start.created_at).total_seconds() for start, end in pairs]
    measured.pausing += [e.data["pausedMs"] / 1000 for e in events if e.type == "task.checkpointed"]


async def _until(task: AsyncTask, status: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (state := await task.refresh()).status != status:
        if time.monotonic() > deadline or state.has_ended:
            raise SystemExit(f"The task is {state.status}: {state.error}")
        await asyncio.sleep(0.05)


def _alone(fill: str, folder: Path, measured: Measured) -> None:
    for name in ("tree", "back"):
        (folder / name).mkdir(parents=True)
    subprocess.run(["python3", "-c", fill], cwd=folder / "tree", check=True)
    for command, times in (
        ("tar -C tree -cf - . | zstd -1 -q -o packed", measured.packing),
        ("zstd -dcq packed | tar -C back -xf -", measured.unpacking),
    ):
        began_at = time.monotonic()
        subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=True)
        times.append(time.monotonic() - began_at)
    shutil.rmtree(folder)


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.0f}" if times else "–"


def show(rows: dict[str, Measured], runs: int) -> None:
    table = Table(title=f"Hibernation, medians of {runs} in ms, {os.cpu_count()} CPUs")
    for column in (
        "workspace",
        "checkpoint",
        "tar|zstd",
        "ratio",
        "wake to model",
        "untar",
        "ratio",
        "pause",
    ):
        table.add_column(column, justify="left" if column == "workspace" else "right")
    for variant, values in rows.items():
        down = statistics.median(values.sleeping) / statistics.median(values.packing)
        up = statistics.median(values.waking) / statistics.median(values.unpacking)
        table.add_row(
            variant, _ms(values.sleeping), _ms(values.packing), f"{down:.1f}", _ms(values.waking),
            _ms(values.unpacking), f"{up:.1f}", _ms(values.pausing),
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gigabyte", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    sizes = {"empty": (0, 0), "5,000 files, 50 MB": (5000, 10_000)}
    if arguments.gigabyte:
        sizes["1,000 files, 1 GB"] = (1000, 1_000_000)
    show(
        {name: asyncio.run(measure(arguments.runs, files, size)) for name, (files, size) in sizes.items()},
        arguments.runs,
    )
