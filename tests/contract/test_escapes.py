"""The escape suite, as `agentcontainer doctor --prove` runs it: everything is blocked, every control succeeds, and what
is not blocked is noticed."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentcontainer.prove.attempt import Attempt, Group, Outcome, Verdict, exit_code
from agentcontainer.prove.files import FILES
from agentcontainer.prove.gateway import GATEWAY
from agentcontainer.prove.groups import GROUPS
from agentcontainer.prove.kernel import KERNEL
from agentcontainer.prove.network import NETWORK
from agentcontainer.prove.payload import perl, shell
from agentcontainer.prove.places import bare, sandboxed
from agentcontainer.prove.suite import prove
from agentcontainer.prove.targets import nonce_only, secret_file
from agentcontainer.prove.weakened import Edit, Weakened, adding, without, without_filter
from agentcontainer.runtime.install import runtime_dir
from tests.ordinary_user import as_ordinary_user, home_in
from tests.uids import UID_BASE

DOCTOR = [sys.executable, "-m", "agentcontainer.cli.main", "doctor", "--json"]
NAMES = {
    "files", "processes", "kernel", "namespaces", "network", "sockets", "resources", "credentials",
    "output collection", "gateway",
}  # fmt: skip
# Files that an ordinary user cannot open here are provided in a mount namespace.
TUN = 'mount -t tmpfs -o mode=755,noexec none /dev/net; mknod -m 666 /dev/net/tun c 10 200; exec "$@"'


@pytest.fixture(scope="module", params=["root", pytest.param("ordinary user", marks=pytest.mark.long)])
def proof(request: pytest.FixtureRequest) -> Iterator[tuple[int, dict[str, Any]]]:
    """Exit code and report of a run of the whole suite."""
    folder = Path(tempfile.mkdtemp(prefix="ac-", dir="/tmp"))
    home, argv = folder, [*DOCTOR, "--prove"]
    if request.param == "ordinary user":
        home = home_in(folder)
        argv = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            TUN,
            "sh",
            *as_ordinary_user(argv),
        ]
    try:
        done = subprocess.run(
            argv, env=environment(home), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.stderr == ""
        assert list((home / "data/runners").iterdir()) == [home / "data/runners/lock"]
        yield done.returncode, json.loads(done.stdout)
    finally:
        shutil.rmtree(folder)


def environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {"HOME": str(home), "AGENTCONTAINER_DATA_DIR": str(home / "data")}


def not_blocked(attempts: list[dict[str, Any]], weak_limits: str | None) -> list[dict[str, Any]]:
    """Without the attempts against which this host lacks a limit, as whoever runs it is told."""
    weak = {
        (group.name, attempt.name) for group in GROUPS for attempt in group.attempts if attempt.controller
    }
    return [
        attempt
        for attempt in attempts
        if attempt["verdict"] != "blocked"
        and not (
            weak_limits is not None
            and attempt["verdict"] == "unprotected"
            and (attempt["group"], attempt["name"]) in weak
        )
    ]


@pytest.mark.timeout(300)
def test_every_attempt_is_blocked_and_every_control_succeeds(proof: tuple[int, dict[str, Any]]) -> None:
    code, answer = proof
    attempts = answer["attempts"]
    assert not_blocked(attempts, answer["weakLimits"]) == []
    assert (code, answer["isProven"]) == (0, True)
    assert len(attempts) >= 140
    assert {attempt["group"] for attempt in attempts} == NAMES
    assert len({(attempt["group"], attempt["name"]) for attempt in attempts}) == len(attempts)
    assert min(sum(attempt["group"] == name for attempt in attempts) for name in NAMES) >= 7


SOME = """
import asyncio, json, sys
from pathlib import Path
from agentcontainer.prove.attempt import Group
from agentcontainer.prove.groups import GROUPS
from agentcontainer.prove.suite import prove
from agentcontainer.runtime.install import runtime_dir
from agentcontainer.sandbox.detect import weak_limits_reason

async def main(folder):
    some = [Group(group.name, group.attempts[::6]) for group in GROUPS]
    running = prove(folder, 0, folder / "locks", runtime_dir(), groups=some)
    made = [
        {"group": o.group, "name": o.attempt.name, "verdict": o.verdict, "detail": o.detail} async for o in running
    ]
    print(json.dumps({"attempts": made, "weakLimits": weak_limits_reason()}))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_some_attempts_at_the_sandboxes_of_an_ordinary_user_are_blocked(short_dir: Path) -> None:
    """The long tests make all of them."""
    home = home_in(short_dir)
    argv = as_ordinary_user([sys.executable, "-W", "error", "-c", SOME, str(home)])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {attempt["group"] for attempt in answer["attempts"]} == NAMES
    assert not_blocked(answer["attempts"], answer["weakLimits"]) == []


def test_each_attempt_has_a_sentence() -> None:
    attempts = [attempt for group in GROUPS for attempt in group.attempts]
    assert all(attempt.tries.endswith(".") and attempt.tries[0].isupper() for attempt in attempts)
    assert {group.name for group in GROUPS} == NAMES


async def outcomes(folder: Path, groups: Sequence[Group], edit: Edit | None = None) -> list[Outcome]:
    """The outcomes of these attempts in a sandbox whose options `edit` has weakened."""
    locks = folder / "locks"
    driver = None if edit is None else Weakened(UID_BASE, locks, edit)
    return [outcome async for outcome in prove(folder, UID_BASE, locks, runtime_dir(), driver, groups)]


def part(group: Group, *names: str) -> Group:
    return Group(group.name, tuple(attempt for attempt in group.attempts if attempt.name in names))


def with_the_hosts_network(options: Sequence[str]) -> list[str]:
    namespaces = ("user", "pid", "ipc", "uts", "cgroup-try")
    return [
        word for option in options
        for word in ([f"--unshare-{kind}" for kind in namespaces] if option == "--unshare-all" else [option])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "group", "names"),
    [
        (without_filter, KERNEL, ("keyrings", "io-uring", "steer-clock")),
        (without("--remount-ro", "/"), FILES, ("root", "accounts-inside")),
        (with_the_hosts_network, NETWORK, ("loopback", "devices", "datagrams")),
        (adding("--ro-bind", "/var", "/var"), FILES, ("state",)),
    ],
)  # fmt: skip
async def test_a_protection_that_is_missing_is_noticed(
    short_dir: Path, edit: Edit, group: Group, names: tuple[str, ...]
) -> None:
    results = await outcomes(short_dir, (part(group, *names, "path", "dots"),), edit)
    got_through = {outcome.attempt.name for outcome in results if outcome.verdict == "got through"}
    assert got_through == set(names)
    assert {outcome.verdict for outcome in results if outcome.attempt.name not in names} <= {"blocked"}
    assert exit_code(results) == 1


async def test_a_broken_attempt_is_inconclusive(short_dir: Path) -> None:
    idle = Attempt("idle", "Does nothing.", perl(""), nonce_only, sandboxed, bare)
    stillborn = Attempt("stillborn", "Does not begin.", perl("}"), nonce_only, sandboxed, bare)
    sound = Attempt("sound", "Reads.", perl("print slurp($ARGV[0]);"), secret_file, sandboxed, bare)
    results = await outcomes(short_dir, (Group("files", (idle, stillborn, sound)),))
    assert [outcome.verdict for outcome in results] == ["inconclusive", "inconclusive", "blocked"]
    assert "the control failed too" in results[0].detail
    assert "did not start" in results[1].detail
    assert exit_code(results) == 2


async def test_a_sandbox_that_cannot_be_started_is_inconclusive(short_dir: Path) -> None:
    results = await outcomes(
        short_dir, (part(FILES, "path"), part(GATEWAY, "header")), adding("--no-such-option")
    )
    assert {outcome.verdict for outcome in results} == {"inconclusive"}
    assert exit_code(results) == 2


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 2),
        (["blocked"], 0),
        (["blocked", "unprotected", "not offered"], 0),
        (["blocked", "inconclusive"], 2),
        (["inconclusive", "got through", "blocked"], 1),
    ],
)
def test_the_exit_code_follows_from_the_verdicts(verdicts: list[Verdict], code: int) -> None:
    attempt = Attempt("a", "Tries.", shell(""), nonce_only, sandboxed, bare)
    assert exit_code([Outcome("files", attempt, verdict) for verdict in verdicts]) == code


@pytest.mark.long
def test_nothing_outlives_a_kill_and_a_doctor_finds_the_rest(short_dir: Path) -> None:
    settings = environment(short_dir)
    running = subprocess.Popen([*DOCTOR, "--prove"], env=settings, stdout=subprocess.DEVNULL)
    runners = short_dir / "data/runners"
    deadline = time.monotonic() + 60
    while not list(runners.glob("rnr_*/prove-*/out")):  # one runs on the host, the others in sandboxes
        assert time.monotonic() < deadline
        time.sleep(0.02)
    beside = subprocess.run(DOCTOR, env=settings, capture_output=True, text=True, check=False)
    assert of(short_dir, beside) == [], "a running suite is not reported as a leftover"
    running.send_signal(signal.SIGKILL)
    running.wait()
    findings = of(
        short_dir, subprocess.run(DOCTOR, env=settings, capture_output=True, text=True, check=False)
    )
    assert "attempt folders" in [finding["check"] for finding in findings]
    subprocess.run([*DOCTOR, "--fix"], env=settings, stdout=subprocess.DEVNULL, check=False)
    assert (
        of(short_dir, subprocess.run(DOCTOR, env=settings, capture_output=True, text=True, check=False)) == []
    )
    assert list(runners.glob("rnr_*")) == []


def test_an_interrupt_leaves_nothing(short_dir: Path) -> None:
    running = subprocess.Popen(
        [*DOCTOR, "--prove"],
        env=environment(short_dir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not list((short_dir / "data/runners").glob("rnr_*/prove-*/out")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    assert running.communicate()[1] == b""
    assert running.returncode == 130
    assert os.listdir(short_dir / "data/runners") == ["lock"]


def of(folder: Path, done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The findings about this folder, after checking that there are no others."""
    return [
        finding for finding in json.loads(done.stdout)["findings"]
        if shlex.quote(str(folder)) in finding["where"] or "prove-" in finding["where"]
    ]  # fmt: skip
