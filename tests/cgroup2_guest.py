"""Run in the machine of tests/guest.py, with Debian's own Python: sandboxes whose limits are those of control groups
v2. Prints a line of JSON with the result of each."""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec

LIMITS = Limits(memory_bytes=96 * 1024**2, pids=40, cpus=0.5)
FORKS = """
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0: time.sleep(1000)
        made += 1
except OSError as error:
    print(made, error.strerror)
"""
SPIN = "import time; end = time.time() + 4\nwhile time.time() < end: pass\nprint(time.process_time())"


async def main() -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    driver = Bubblewrap(700_000, folder / "locks")
    (folder / "runtime").mkdir()
    count = 0

    async def start(*argv: str):
        nonlocal count
        count += 1
        root = folder / str(count)
        for part in ("workspace", "sockets"):
            (root / part).mkdir(parents=True)
        spec = Spec(f"guest-{os.getuid()}-{count}", root, folder / "runtime", LIMITS, {"PATH": "/usr/bin"})
        return await driver.start(spec, argv)

    async def run(*argv: str) -> tuple[str, int, bool]:
        sandbox = await start(*argv)
        out = (await sandbox.stdout.read()).decode()
        end = await sandbox.wait()
        await sandbox.destroy()
        return out.strip(), end.code, end.is_out_of_memory

    report: dict[str, object] = {"uid": os.getuid(), "weak": driver.weak_limits_reason}
    report["memory"] = await run("/usr/bin/python3", "-c", "x = bytearray(200 * 1024**2)")
    report["forks"] = await run("/usr/bin/python3", "-c", FORKS)
    # A busy host can delay the guest's timers, and so the end of a period, but cannot shorten one.
    spins = [float((await run("/usr/bin/python3", "-c", SPIN))[0])]
    while min(spins) > 3 and len(spins) < 4:
        spins.append(float((await run("/usr/bin/python3", "-c", SPIN))[0]))
    report["spin"] = min(spins)
    sandbox = await start("/bin/sh", "-c", "while :; do echo tick; sleep 0.05; done")
    await sandbox.stdout.readline()
    async with sandbox.frozen() as is_frozen:
        await asyncio.sleep(0.5)
        before = len(sandbox.stdout._buffer)
        await asyncio.sleep(2)
        report["frozen"] = (is_frozen, len(sandbox.stdout._buffer) == before)
    began = time.monotonic()
    await sandbox.destroy()
    report["destroyed"] = time.monotonic() - began
    parents = {controller.parent for controller in driver._hierarchy.controllers}
    report["left"] = [str(path) for parent in parents for path in parent.glob("guest-*")]
    return report


sys.stdout.write(json.dumps(asyncio.run(main())) + "\n")
