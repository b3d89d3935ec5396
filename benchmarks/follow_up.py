"""How long from a user's next message until the model has it? Warm, in the same container, and from its checkpoint.

    .venv/bin/python benchmarks/follow_up.py [--runs 20]

Beside it a living Pi on this host that is prompted again, without any platform. Prints a table: median, 90th
percentile, and the ratio to that Pi.
"""

import argparse
import asyncio
import logging
import os
import tempfile
from pathlib import Path

from first_request import AGENT, MODEL, PROVIDER, environment, first_request_after, home, pi_command, show

from agentcontainer import settings
from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.installation import running
from agentcontainer.gateway.scripted import ScriptedModel, serve
from agentcontainer.runner.agent.pi import Pi
from agentcontainer.runner.agent.pi_events import Settled
from agentcontainer.runtime.install import runtime_dir
from agentcontainer_client import AsyncAgentContainer

WARM_SECONDS = 0.5


async def measure_platform(model: ScriptedModel, runs: int, folder: Path, *, is_warm: bool) -> list[float]:
    """Through the whole platform: POST, wake-up or new container, Pi, gateway."""
    warm_seconds = 3600 if is_warm else WARM_SECONDS
    configured = settings.load(
        data_dir=folder, port=0, anthropic_base_url=model.url, warm_seconds=warm_seconds
    )
    data_folder.prepare(configured.data_dir)
    data_folder.ensure_secret_key(configured.data_dir)
    async with (
        running(configured, os.environ, print) as started,
        AsyncAgentContainer(started.base_url, started.api_key) as client,
    ):
        await client.provider_keys.set(PROVIDER, "sk-benchmark-key")
        talk = await client.conversations.create("Hello.", agent=AGENT, provider=PROVIDER, model=MODEL)

        async def send() -> None:
            await talk.send("And now?")

        results: list[float] = []
        for _ in range(runs):
            while (await talk.task.refresh()).status != "awaiting_input":
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2 if is_warm else WARM_SECONDS + 1)
            results.append(await first_request_after(model, send))
        print([round(r * 1000) for r in results])
        return results


async def measure_living_pi(model: ScriptedModel, runs: int, folder: Path) -> list[float]:
    """The same Pi, bare and alive, prompted again."""
    where = home(folder, model.url)
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *pi_command(str(runtime_dir()), f"{where}/s"),
        stdin=pipe, stdout=pipe, stderr=null, limit=2**24, env=environment(str(where)),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    pi = Pi(process.stdin, process.stdout)

    async def settled() -> None:
        async for event in pi.events():
            if isinstance(event, Settled):
                return

    results: list[float] = []
    for _ in range(runs + 1):
        results.append(await first_request_after(model, lambda: pi.prompt("Hello.")))
        await settled()
        await asyncio.sleep(0.2)
    process.kill()
    await process.wait()
    return results[1:]


async def measure(runs: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as name:
        folder = Path(name)
        async with await serve() as model:
            warm = await measure_platform(model, runs, folder / "w", is_warm=True)
            cold = await measure_platform(model, runs, folder / "c", is_warm=False)
            alone = await measure_living_pi(model, runs, folder / "home")
            return {
                "bare Pi, alive": alone,
                "warm follow-up: POST to the model": warm,
                "cold follow-up, from the checkpoint": cold,
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    show(asyncio.run(measure(arguments.runs)), arguments.runs, "A user's next message to the model")
