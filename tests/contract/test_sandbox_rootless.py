"""The same sandbox started by an ordinary user: no uid of its own, no mounts beforehand, perhaps weak limits."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyseccomp
import pytest

import agentcontainer

UID = 690_123
PYTHON = "/usr/bin/python3"  # the tests' own one may be where only root can reach it
SCRIPT = """
import asyncio, json, os, sys, tempfile, signal, subprocess, time
from pathlib import Path
from agentcontainer.sandbox import procfs, watchdog_process
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.cleanup import clean_up, leftovers

FORK_BOMB = '''
import os, time
children = 0
try:
    while children < 1000:
        if os.fork() == 0: time.sleep(1000)
        children += 1
except OSError as e: print(children, e.strerror)
'''
home = Path.cwd()
(home / "runtime").mkdir()
driver = Bubblewrap(0, home / "locks")
count = 0

def spec():
    global count
    count += 1
    root = home / str(count)
    for part in ("workspace", "sockets"): (root / part).mkdir(parents=True)
    name, env = f"rootless-{os.getpid()}-{count}", {"PATH": "/usr/bin:/bin"}
    return Spec(name, root, home / "runtime", Limits(2**28, 64, 1), env)

async def run(*argv, given=b"", where=None):
    sandbox = await driver.start(where or spec(), argv)
    sandbox.stdin.write(given); sandbox.stdin.close()
    out, err = await asyncio.gather(sandbox.stdout.read(), sandbox.stderr.read())
    end = await sandbox.wait()
    await sandbox.destroy()
    return end.code, out.decode(), err.decode()

async def main():
    seen = {"reason": driver.weak_limits_reason, "uid": os.getuid()}
    where = spec()
    seen["cat"] = await run("sh", "-c", "cat; cat > x; exit 3", given=b"hello", where=where)
    seen["owner"] = (where.workspace / "x").stat().st_uid
    command = "id -u; grep CapEff /proc/self/status; cat /etc/shadow; touch /opt/agentcontainer/x; ls /run /home /opt/*"
    seen["id"] = await run("sh", "-c", f"({command}) 2> /dev/null")
    seen["bomb"] = await run("/usr/bin/python3", "-c", FORK_BOMB)
    where = spec()
    sandbox = await driver.start(where, ["sh", "-c", "for i in $(seq 20); do setsid sleep 4242 & done; echo up; wait"])
    await sandbox.stdout.readline()
    seen["left before"] = where.id in leftovers()
    await sandbox.destroy()
    seen["left after"] = where.id in leftovers()
    where = spec()
    sandbox = await driver.start(where, ["sleep", "1000"])
    seen["cleaned_up"] = await clean_up([where.id]) == [where.id]
    seen["code"] = (await sandbox.wait()).code
    await sandbox.destroy()
    where = spec()
    (home / "watched" / where.id).mkdir(parents=True)
    sandbox = await driver.start(where, ["sleep", "1000"])
    watchdog_process.kill(home / "watched", detect())
    seen["watchdog"] = (await sandbox.wait()).code
    await sandbox.destroy()
    print(json.dumps(seen))

asyncio.run(main())
"""


pytestmark = pytest.mark.xdist_group("rootless")  # one run for all of them


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    """What an ordinary user's run of SCRIPT reports."""
    folder = Path(tempfile.mkdtemp(prefix="ac-rootless-", dir="/tmp"))
    try:
        yield _run_as_ordinary_user(folder)
    finally:
        shutil.rmtree(folder)


def _run_as_ordinary_user(folder: Path) -> dict[str, Any]:
    packages, home = folder / "packages", folder / "home"
    source = Path(agentcontainer.__file__).parent
    shutil.copytree(source / "sandbox", packages / "agentcontainer" / "sandbox")
    for file in source.glob("*.py"):  # the top-level modules, some of which the sandbox imports
        shutil.copy(file, packages / "agentcontainer")
    shutil.copy(pyseccomp.__file__, packages)
    home.mkdir()
    drop: list[str] = []
    if os.geteuid() == 0:
        folder.chmod(0o755)
        os.chown(home, UID, UID)
        drop = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--"]
    done = subprocess.run(
        [*drop, PYTHON, "-W", "error", "-c", SCRIPT],
        cwd=home,
        env={"PYTHONPATH": str(packages), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_payload_runs_and_its_files_belong_to_the_user(report: dict[str, Any]) -> None:
    assert report["cat"] == [3, "hello", ""]
    assert report["owner"] == report["uid"] != 0


def test_the_payload_sees_no_host_files_and_has_no_capabilities(report: dict[str, Any]) -> None:
    assert report["id"] == [
        2,
        "1000\nCapEff:\t0000000000000000\n/opt/agentcontainer:\n\n/run:\nagentcontainer\n",
        "",
    ]


def test_a_fork_bomb_is_contained(report: dict[str, Any]) -> None:
    code, out, err = report["bomb"]
    children, _, reason = out.strip().partition(" ")
    assert (code, reason, err) == (0, "Resource temporarily unavailable", "")
    assert int(children) < 64


def test_destroy_and_clean_up_leave_nothing(report: dict[str, Any]) -> None:
    assert report["left before"] is True
    assert report["left after"] is False
    assert report["cleaned_up"] is True
    assert report["code"] == 137


def test_the_operator_is_told_of_weak_limits(report: dict[str, Any]) -> None:
    assert report["reason"] is None or report["reason"].startswith("WEAK LIMITS: ")


def test_the_watchdog_can_kill_its_sandboxes(report: dict[str, Any]) -> None:
    assert report["watchdog"] == 137
