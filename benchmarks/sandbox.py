"""What a sandbox costs: its start, its memory with an idle agent in it, and what its gateway adds to a model request.

    .venv/bin/python benchmarks/sandbox.py [--runs 30]

Run as root. Beside the start of `true` in a sandbox stand a bare process, bare bwrap, and crun, runc, podman and
docker where they are installed and run, each on this host's /usr, nothing pulled; beside an idle agent in a sandbox the
same bare; beside a request through the gateway the same to the provider itself. Prints three tables.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table

from agentcontainer.gateway.app import Gateway, Route, provider_client
from agentcontainer.gateway.scripted import serve
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.agent.model_file import models_json
from agentcontainer.runtime.install import runtime_dir
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Internet, Limits, Spec

UID_BASE = 900_000
LIMITS = Limits(memory_bytes=2 * 1024**3, pids=512, cpus=2.0)
PROVIDER, MODEL = "anthropic", "claude-sonnet-4-6"
AGENTS = 8
IDLE_SECONDS = 3.0
MIB = 1024**2
Run = Callable[[], Awaitable[None]]


class Host:
    """Sandboxes in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._driver = Bubblewrap(UID_BASE, folder / "locks")
        self._count = 0

    def spec(self, **changes: Any) -> Spec:
        """The specification of a new sandbox."""
        self._count += 1
        name = f"bench-{os.getpid()}-{self._count}"
        root = self._folder / name
        for part in ("workspace/task", "sockets"):
            (root / part).mkdir(parents=True)
        return Spec(name, root, runtime_dir(), LIMITS, {"PATH": "/usr/bin"}, **changes)

    @contextlib.asynccontextmanager
    async def sandbox(self, spec: Spec, *argv: str) -> AsyncGenerator[Any]:
        """A started sandbox, destroyed after the block."""
        sandbox = await self._driver.start(spec, argv)
        try:
            yield sandbox
        finally:
            await sandbox.destroy()
            shutil.rmtree(spec.root)

    async def run_true(self, internet: Internet | None = None) -> None:
        """Start a sandbox, let it end, and destroy it."""
        async with self.sandbox(self.spec(internet=internet), "/bin/true") as sandbox:
            await sandbox.wait()


async def timed(run: Run, runs: int) -> list[float]:
    """Milliseconds of each run, after one warm-up run."""
    await run()
    times: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        await run()
        times.append((time.perf_counter() - began) * 1000)
    return times


def command(*argv: str, cwd: Path | None = None) -> Run:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise RuntimeError(f"{argv[0]} failed")

    return run


def root_folder(folder: Path) -> Path:
    """The root of a container: this host's /usr is mounted into it."""
    for path in ("usr", "tmp", "proc", "dev", "sys", "etc", "run"):
        (folder / path).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (folder / link).symlink_to(f"usr/{link}")
    return folder


def bundle(folder: Path, tool: str) -> Path:
    """A bundle for crun and runc: their default configuration, `true`, and this host's /usr."""
    root_folder(folder / "rootfs")
    subprocess.run([tool, "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/true"]}
    usr = {"destination": "/usr", "type": "none", "source": "/usr", "options": ["rbind", "ro"]}
    config["mounts"].append(usr)
    # A hybrid of cgroups v1 and v2 is refused by crun.
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def others(folder: Path) -> Iterable[tuple[str, Run]]:
    """Other container runtimes of this host; those that do not work are skipped later."""
    for tool in ("crun", "runc"):
        if shutil.which(tool):
            (folder / tool).mkdir()
            yield tool, command(tool, "run", f"ac-bench-{os.getpid()}", cwd=bundle(folder / tool, tool))
    for tool in ("podman", "docker"):
        if shutil.which(tool):
            yield f"{tool} run", command(*engine(tool, folder))


def engine(tool: str, folder: Path) -> list[str]:
    """podman on a folder, docker on an image made of it: neither pulls."""
    if tool == "podman":
        runtime = ["--runtime", "runc"] if shutil.which("runc") else []
        start = ["podman", *runtime, "--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "none"]
        limits = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
        root = root_folder(folder / "podman")
        return [*start, *limits, "-v", "/usr:/usr:ro", "--rootfs", str(root), "/bin/true"]
    name = f"ac-bench-{os.getpid()}"
    packed = subprocess.run(
        ["tar", "-C", str(root_folder(folder / "docker")), "-c", "."], capture_output=True
    )
    subprocess.run(["docker", "import", "-", name], input=packed.stdout, capture_output=True, check=False)
    return ["docker", "run", "--rm", "--network", "none", "-v", "/usr:/usr:ro", name, "/bin/true"]


async def measure_starts(folder: Path, runs: int) -> dict[str, list[float]]:
    """Milliseconds for a whole run of `true`."""
    host = Host(folder)
    bare = ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true")
    times = {
        "a process": await timed(command("/bin/true"), runs),
        "bwrap, bare": await timed(command(*bare), runs),
        "this sandbox": await timed(host.run_true, runs),
        "… with named hosts": await timed(lambda: host.run_true(Internet(("example.com",))), runs),
        "… with internet access": await timed(lambda: host.run_true(Internet()), runs),
    }
    for name, run in others(folder):
        try:
            times[name] = await timed(run, runs)
        except (RuntimeError, subprocess.CalledProcessError):
            Console().print(f"{name}: installed, but does not run here")
    return times


async def measure_density(folder: Path) -> dict[str, float]:
    """MiB for one idle agent, as the kernel shares memory out (PSS)."""
    host = Host(folder)
    env = pi_launch.env()
    argv = pi_launch.argv(PROVIDER, MODEL, "bench", "")
    models = models_json(PROVIDER, [MODEL])
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(AGENTS):
            spec = host.spec()
            place_settings(spec.workspace, models)
            spec_with_image = Spec(spec.id, spec.root, spec.runtime, LIMITS, env, pi_launch.HOME)
            await stack.enter_async_context(host.sandbox(spec_with_image, *argv))
        await asyncio.sleep(IDLE_SECONDS)
        inside = memory(os.getpid()) / AGENTS
    home = folder / "home"
    place_settings(home, models)
    runtime = str(runtime_dir())
    pi = [f"{runtime}/bin/node", f"{runtime}/pi/dist/bundle/cli.js", "--mode", "rpc", "--no-extensions"]
    variables = env | {"PI_CODING_AGENT_DIR": f"{home}/.pi/agent", "HOME": str(home)}
    bare = [
        subprocess.Popen(pi, env=variables, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=home)
        for _ in range(AGENTS)
    ]
    try:
        await asyncio.sleep(IDLE_SECONDS)
        alone = memory(os.getpid()) / AGENTS
    finally:
        for process in bare:
            process.kill()
            process.communicate()
    return {"Pi, bare": alone, "Pi in this sandbox": inside}


def place_settings(workspace: Path, models: str) -> None:
    for path, text in pi_launch.settings_files(models).items():
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(text)


def memory(pid: int) -> float:
    """MiB of all that a process has started, now."""
    total = 0
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += child.memory_full_info().pss
    return total / MIB


async def measure_gateway(folder: Path, runs: int) -> dict[str, list[float]]:
    """Milliseconds from a request to the end of its streamed answer."""
    body = {
        "model": MODEL,
        "stream": True,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hi."}],
    }
    socket = folder / "gateway.sock"
    async with await serve() as model, provider_client() as client:
        route = Route(PROVIDER, model.url, frozenset([MODEL]), "sk-benchmark")
        gateway = Gateway(route, socket, lambda _: None, client)
        await gateway.start()
        connector = aiohttp.UnixConnector(str(socket))
        async with aiohttp.ClientSession() as direct, aiohttp.ClientSession(connector=connector) as inside:

            async def request(session: aiohttp.ClientSession, url: str) -> None:
                async with session.post(url, json=body, headers={"x-api-key": "sk-benchmark"}) as answer:
                    await answer.read()
                    assert answer.status == 200

            times = {
                "to the provider itself": await timed(
                    lambda: request(direct, f"{model.url}/v1/messages"), runs
                ),
                "through the gateway": await timed(
                    lambda: request(inside, "http://gateway/anthropic/v1/messages"), runs
                ),
            }
        await gateway.close()
        return times


def show(title: str, results: dict[str, list[float]], measure: str) -> None:
    """Print a table; `measure` names the row that the ratios refer to."""
    table = Table(title=title)
    for column in ("what", "median ms", "p90 ms", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    base = statistics.median(results[measure])
    for variant, times in results.items():
        median, p90 = statistics.median(times), statistics.quantiles(times, n=10)[-1]
        table.add_row(variant, f"{median:.1f}", f"{p90:.1f}", f"{median / base:.2f}")
    Console().print(table)


def show_density(results: dict[str, float]) -> None:
    table = Table(title=f"Idle agents, {AGENTS} of each")
    for column in ("what", "MiB each", "in one GB", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    base = results["Pi, bare"]
    for variant, mib in results.items():
        table.add_row(variant, f"{mib:.0f}", f"{1e9 / MIB / mib:.1f}", f"{mib / base:.2f}")
    Console().print(table)


async def main(runs: int) -> None:
    """Run all three measurements."""
    with tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "starts").mkdir()
        starts = await measure_starts(folder / "starts", runs)
        show(f"A whole run of `true`, {runs} runs each, {os.cpu_count()} CPUs", starts, "bwrap, bare")
        (folder / "density").mkdir()
        show_density(await measure_density(folder / "density"))
        requests = await measure_gateway(folder, runs * 10)
        show(f"A streamed model request, {runs * 10} each", requests, "to the provider itself")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    if os.geteuid() != 0:
        raise SystemExit("Run it as root: what it is compared with needs that.")
    asyncio.run(main(parser.parse_args().runs))
