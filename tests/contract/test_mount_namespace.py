"""The runner's mount namespace follows the mounts of its host, and shows the host none of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.uids import UID_BASE

# Enters its namespace as the product does, mounts a folder there, and starts a sandbox. For each line that it reads, it
# prints what the sandbox sees below /usr/games and in its own list of mounts.
RUNNER = """
import asyncio, json, subprocess, sys
from pathlib import Path
from agentcontainer.sandbox import namespace
assert namespace.enter()
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec

home, uid_base = Path(sys.argv[1]), int(sys.argv[2])
root = home / f"mounts-{home.name}"
(root / "workspace").mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "workspace", str(root / "workspace")], check=True)
LOOK = "while read -r _; do ls /usr/games/later 2>/dev/null || echo nothing; done"

async def main():
    spec = Spec(root.name, root, home, Limits(2**28, 64, 2), {"PATH": "/usr/bin:/bin"}, "/", is_helper=True)
    sandbox = await Bubblewrap(uid_base, home / "locks").start(spec, ["sh", "-c", LOOK])
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        sandbox.stdin.write(line.encode())
        print((await sandbox.stdout.readline()).decode().strip(), flush=True)
    await sandbox.destroy()
    subprocess.run(["umount", str(root / "workspace")], check=True)

asyncio.run(main())
"""
# Plays the host, whose mounts are shared, as systemd makes them.
HOST = """
import json, pathlib, subprocess, sys

runner_script, home, uid_base = sys.argv[1:]
store = pathlib.Path(home, "store")
store.mkdir()

def run(*command):
    subprocess.run(command, check=True)

def mounts(pid):
    lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in lines]
    return sorted(pathlib.Path(place).name for place in places if place.startswith(home) or place == "/usr/games")

def ask(runner):
    runner.stdin.write("look\\\\n")
    runner.stdin.flush()
    return runner.stdout.readline().strip()

command = [sys.executable, "-c", runner_script, home, uid_base]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
    assert runner.stdout.readline().strip() == "ready"
    run("mount", "-t", "tmpfs", "store", str(store))
    run("mount", "-t", "tmpfs", "games", "/usr/games")
    pathlib.Path("/usr/games/later").touch()
    mounted = {"host": mounts("self"), "runner": mounts(runner.pid), "sandbox": ask(runner)}
    run("umount", str(store))
    run("umount", "/usr/games")
    unmounted = {"host": mounts("self"), "runner": mounts(runner.pid)}
    runner.stdin.close()
print(json.dumps([mounted, unmounted]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_the_runner_follows_the_mounts_of_the_host_and_its_sandboxes_do_not(short_dir: Path) -> None:
    shared = ["unshare", "--mount", "--propagation", "shared", "--"]
    argv = [
        *shared,
        sys.executable,
        "-c",
        HOST.replace("\\\\n", "\\n"),
        RUNNER,
        str(short_dir),
        str(UID_BASE),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    mounted, unmounted = json.loads(done.stdout)
    assert mounted == {
        "host": ["games", "store"], "runner": ["games", "store", "workspace"], "sandbox": "nothing",
    }  # fmt: skip
    assert unmounted == {"host": [], "runner": ["workspace"]}
