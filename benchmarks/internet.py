"""How fast a sandbox reaches the internet: everything public by slirp4netns, or named hosts by our relay.

    .venv/bin/python -m benchmarks.internet [--megabytes 256] [--runs 5]

Run as root. The internet is tests/internet.py's: two network namespaces with a wire between them. Beside the sandboxes
the same download from the same server by a bare process. Prints a table: MB/s, and milliseconds to the first byte.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentcontainer.sandbox.contract import Internet
from tests.contract.sandbox_bed import Bed
from tests.internet import PUBLIC, REPOSITORY, World, world

PORT = 9000
SERVER = f"""
import socket
chunk = bytes(1 << 20)
with socket.create_server(("0.0.0.0", {PORT})) as server:
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            try:
                for _ in range(int(connection.recv(20))):
                    connection.sendall(chunk)
            except OSError:
                pass
"""
DOWNLOAD = f"""
import json, socket, sys, time
megabytes, runs = int(sys.argv[1]), int(sys.argv[2])
found = []
for _ in range(runs):
    began = time.perf_counter()
    with socket.create_connection(("public.test", {PORT})) as connection:
        connection.sendall(str(megabytes).encode())
        size = len(connection.recv(1 << 20))
        first = time.perf_counter() - began
        while chunk := connection.recv(1 << 20):
            size += len(chunk)
    assert size == megabytes << 20, size
    found.append([megabytes / (time.perf_counter() - began), first * 1000])
print(json.dumps(found))
"""
MODES: dict[str, Internet | None] = {
    "a process on the host": None,
    "internet access (slirp4netns)": Internet(),
    "named hosts (our relay)": Internet(("public.test",)),
}


async def inside(folder: Path, mode: str, megabytes: int, runs: int) -> str:
    """What the download in a sandbox prints."""
    bed = Bed(folder)
    argv = ["/usr/bin/python3", "-c", DOWNLOAD, str(megabytes), str(runs)]
    outcome = await bed.run(*argv, spec=bed.spec(internet=MODES[mode]))
    assert outcome.code == 0, outcome.err
    return outcome.out


def measure(network: World, mode: str, megabytes: int, runs: int) -> list[list[float]]:
    """[megabytes a second, milliseconds to the first byte] of each run."""
    if MODES[mode] is None:
        command = [sys.executable, "-c", DOWNLOAD, str(megabytes), str(runs)]
    else:
        command = [sys.executable, "-m", "benchmarks.internet", "--inside", mode]
        command += ["--megabytes", str(megabytes), "--runs", str(runs)]
    done = subprocess.run(network.inside(command), cwd=REPOSITORY, check=True, capture_output=True)
    return json.loads(done.stdout)


def main(megabytes: int, runs: int) -> None:
    """Run all three measurements in a simulated internet."""
    table = Table(title=f"A download of {megabytes} MB, {runs} runs each, {os.cpu_count()} CPUs")
    for column in ("by way of", "MB/s", "ratio", "first byte ms"):
        table.add_column(column, justify="left" if column == "by way of" else "right")
    with (
        tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as folder,
        world(Path(folder)) as network,
    ):
        serve = ["nsenter", f"--net=/run/netns/{network.outside}", "--", sys.executable, "-c", SERVER]
        with subprocess.Popen(serve, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None and server.stdout.readline() == b"ready\n", PUBLIC
                base = 0.0
                for mode in MODES:
                    results = measure(network, mode, megabytes, runs)
                    speed, first = (statistics.median(column) for column in zip(*results, strict=True))
                    base = base or speed
                    table.add_row(mode, f"{speed:.0f}", f"{speed / base:.2f}", f"{first:.1f}")
            finally:
                server.kill()
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--inside", choices=MODES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is None:
        main(arguments.megabytes, arguments.runs)
    else:
        with tempfile.TemporaryDirectory(prefix="ac-bench-", dir="/tmp") as name:
            print(asyncio.run(inside(Path(name), arguments.inside, arguments.megabytes, arguments.runs)))
