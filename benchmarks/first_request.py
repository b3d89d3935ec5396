"""How long from a dispatch until the agent's first model request? Cold: a fresh sandbox and Pi each time.

    .venv/bin/python benchmarks/first_request.py [--runs 20]

Beside it the same Pi started bare on this host, and in `podman run` where podman is installed (rootfs: this host's
/usr, with the runtime and a home mounted). Prints a table: median, 90th percentile, and the ratio to bare Pi.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentcontainer import settings
from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.installation import running
from agentcontainer.gateway.scripted import ScriptedModel, serve
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.agent.model_file import models_json
from agentcontainer.runtime.install import runtime_dir
from agentcontainer_client import AsyncAgentContainer, AsyncTask

GIVE_UP_SECONDS = 60
AGENT = "agt_standard_coding"
PROVIDER, MODEL = "anthropic", "claude-sonnet-4-6"
INSTRUCTIONS = 'Say hello.\n```script\n[{"bash": "finish --complete-task --message hello"}]\n```'
PROMPT = json.dumps({"type": "prompt", "message": "Say hello."}).encode() + b"\n"


async def first_request_after(model: ScriptedModel, start: Callable[[], Awaitable[None]]) -> float:
    """Seconds from calling `start` to the model's next request."""
    model.requests.clear()
    started_at = time.time()
    await start()
    while not model.requests:
        if time.time() - started_at > GIVE_UP_SECONDS:
            raise SystemExit("No model request came.")
        await asyncio.sleep(0.001)
    return model.requests[0].at - started_at


async def measure_platform(model: ScriptedModel, runs: int, folder: Path) -> list[float]:
    """Through the whole platform: POST, queue, claim, sandbox, Pi, gateway."""
    configured = settings.load(data_dir=folder, port=0, anthropic_base_url=model.url)
    data_folder.prepare(configured.data_dir)
    data_folder.ensure_secret_key(configured.data_dir)
    logging.disable(logging.INFO)
    async with (
        running(configured, os.environ, print) as started,
        AsyncAgentContainer(started.base_url, started.api_key) as client,
    ):
        await client.provider_keys.set(PROVIDER, "sk-benchmark-key")
        tasks: list[AsyncTask] = []

        async def dispatch() -> None:
            tasks.append(await client.tasks.create(INSTRUCTIONS, agent=AGENT))

        results: list[float] = []
        for _ in range(runs):
            results.append(await first_request_after(model, dispatch))
            await tasks[-1].wait(GIVE_UP_SECONDS)
        return results


async def measure_process(
    model: ScriptedModel, runs: int, command: list[str], env: dict[str, str]
) -> list[float]:
    """Start Pi by `command` and prompt it at once. An unmeasured run first fills its compile cache."""
    results: list[float] = []
    for _ in range(runs + 1):
        process: asyncio.subprocess.Process | None = None

        async def start() -> None:
            nonlocal process
            pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=null, stderr=null, env=env
            )
            assert process.stdin
            process.stdin.write(PROMPT)

        results.append(await first_request_after(model, start))
        assert process is not None
        await asyncio.sleep(0.2)  # node writes its compile cache when it is told to end
        process.terminate()
        await process.wait()
    return results[1:]


def home(folder: Path, url: str) -> Path:
    """A home with Pi's settings, whose provider is the scripted model."""
    models = json.loads(models_json(PROVIDER, [MODEL]))
    models["providers"][PROVIDER] |= {"baseUrl": url}
    for path, text in pi_launch.settings_files(json.dumps(models)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def pi_command(runtime: str, sessions: str) -> list[str]:
    pi = [f"{runtime}/bin/node", f"{runtime}/pi/dist/bundle/cli.js", "--mode", "rpc", "--no-extensions"]
    return [*pi, "--provider", PROVIDER, "--model", MODEL, "--session-dir", sessions]


def environment(home: str) -> dict[str, str]:
    """The environment of Pi, with a compile cache for this user: only the sandbox's user finds the runtime's."""
    changes = {
        "PI_CODING_AGENT_DIR": f"{home}/.pi/agent",
        "NODE_COMPILE_CACHE": f"{home}/cache",
        "HOME": home,
    }
    return pi_launch.env() | changes


async def measure(runs: int) -> dict[str, list[float]]:
    results: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as name:
        folder = Path(name)
        async with await serve() as model:
            results["AgentContainer: dispatch to first request"] = await measure_platform(
                model, runs, folder / "d"
            )
            where = home(folder / "home", model.url)
            runtime = str(runtime_dir())
            bare = environment(str(where))
            results["bare Pi on the host"] = await measure_process(
                model, runs, pi_command(runtime, f"{where}/s"), bare
            )
            if shutil.which("podman"):
                results["the same Pi in podman run"] = await measure_process(
                    model, runs, podman_command(where, runtime, folder), dict(os.environ)
                )
    return results


def podman_command(where: Path, runtime: str, folder: Path) -> list[str]:
    """`podman run` on a root folder that is this host's /usr: nothing is pulled."""
    root = folder / "root"
    for path in ("usr", "opt/agentcontainer", "home", "tmp", "proc", "dev", "sys", "etc", "run"):
        (root / path).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        if not (root / link).is_symlink():
            (root / link).symlink_to(f"usr/{link}")
    mounts = ["-v", "/usr:/usr:ro", "-v", f"{runtime}:/opt/agentcontainer:ro", "-v", f"{where}:/home"]
    variables = environment("/home")
    options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    runtime_option = ["--runtime", "runc"] if shutil.which("runc") else []  # crun refuses hybrid cgroups
    limits = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
    start = [
        "podman",
        *runtime_option,
        "--cgroup-manager",
        "cgroupfs",
        "run",
        "--rm",
        "-i",
        "--network",
        "host",
    ]
    start += [*limits, *mounts, *options, "--rootfs", str(root)]
    return [*start, *pi_command("/opt/agentcontainer", "/home/s")]


def show(results: dict[str, list[float]], runs: int, title: str) -> None:
    """Print the table; ratios refer to the row that begins with "bare Pi"."""
    table = Table(title=f"{title}, {runs} runs each, {os.cpu_count()} CPUs")
    for column in ("what", "median ms", "p90 ms", "ratio to bare Pi"):
        table.add_column(column, justify="left" if column == "what" else "right")
    bare = next(
        statistics.median(times) for variant, times in results.items() if variant.startswith("bare Pi")
    )
    for variant, seconds in results.items():
        median, p90 = statistics.median(seconds), statistics.quantiles(seconds, n=10)[-1]
        table.add_row(variant, f"{median * 1000:.0f}", f"{p90 * 1000:.0f}", f"{median / bare:.2f}")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    show(asyncio.run(measure(arguments.runs)), arguments.runs, "Cold start to the first model request")
