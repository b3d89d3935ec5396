"""What a runner relies on: streams, exit codes, folders, environment, and complete removal."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.failure import explain
from tests import control_groups
from tests.contract.sandbox_bed import PATH, Bed


async def test_streams_are_pipes_that_carry_long_lines_both_ways(bed: Bed) -> None:
    sandbox = await bed.start(["cat"])
    line = os.urandom(4 * 1024**2).hex().encode() + b"\n"
    sandbox.stdin.write(line)
    assert await sandbox.stdout.readline() == line
    sandbox.stdin.close()
    assert await sandbox.stdout.read() == b""
    assert (await sandbox.wait()).code == 0


async def test_stdio_is_plain_pipes_and_nothing_else_is_open(bed: Bed) -> None:
    script = """
import os, stat
print([stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (0, 1, 2)])
for fd in range(3, 4096):
    try: os.fstat(fd); print("open:", fd, os.readlink(f"/proc/self/fd/{fd}"))
    except OSError: pass
"""
    assert (await bed.python(script)).out == "[True, True, True]\n"


async def test_the_payload_can_open_its_stdio_by_name(bed: Bed) -> None:
    outcome = await bed.run("sh", "-c", "cat /dev/stdin > /dev/stdout; echo no > /dev/stderr", stdin=b"yes")
    assert (outcome.out, outcome.err) == ("yes", "no\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("exec /nonexistent", 127),
    ],
)
async def test_exit_codes_are_those_of_the_payload(bed: Bed, command: str, code: int) -> None:
    outcome = await bed.run("sh", "-c", command)
    assert (outcome.code, outcome.is_out_of_memory) == (code, False)


async def test_a_command_that_does_not_exist_is_a_result(bed: Bed) -> None:
    outcome = await bed.run("no-such-program")
    assert outcome.code == 127
    assert "no-such-program" in outcome.err


async def test_the_environment_is_exactly_the_specified_one(bed: Bed) -> None:
    environment = {"PATH": PATH, "HOME": "/workspace", "ODD": "a b\n'\"$(id)=", "EMPTY": ""}
    outcome = await bed.python(
        "import os, json; print(json.dumps(dict(os.environ)))", spec=bed.spec(env=environment)
    )
    actual = json.loads(outcome.out)
    assert actual.pop("PWD") == "/workspace"
    actual.pop("LC_CTYPE", None)  # set by Python itself
    assert actual == environment


async def test_the_payload_starts_in_the_named_folder(bed: Bed) -> None:
    spec = bed.spec(cwd="/workspace/task")
    (spec.workspace / "task").mkdir()
    assert (await bed.run("pwd", spec=spec)).out == "/workspace/task\n"


async def test_files_written_inside_are_on_the_host_and_the_other_way(bed: Bed) -> None:
    spec = bed.spec()
    (spec.workspace / "in.txt").write_text("from the host")
    (spec.workspace / "in.txt").chmod(0o600)
    await bed.run("sh", "-c", "cp in.txt out.txt; echo more >> in.txt; mkdir d; echo x > d/y", spec=spec)
    assert (spec.workspace / "out.txt").read_text() == "from the host"
    assert (spec.workspace / "in.txt").read_text() == "from the hostmore\n"
    assert (spec.workspace / "d" / "y").read_text() == "x\n"


async def test_a_socket_of_the_host_can_be_reached_but_not_removed(bed: Bed) -> None:
    spec = bed.spec()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.readline())
        writer.close()

    script = """
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect("/run/agentcontainer/g.sock")
s.sendall(b"hello\\n")
print(s.recv(99).decode())
for act in (lambda: os.unlink("/run/agentcontainer/g.sock"), lambda: open("/run/agentcontainer/new", "w")):
    try: act(); print("done")
    except OSError as e: print(e.strerror)
"""
    server = await asyncio.start_unix_server(answer, spec.sockets / "g.sock")
    async with server:
        outcome = await bed.python(script, spec=spec)
    assert outcome.out == "heard hello\n\nRead-only file system\nRead-only file system\n"


async def test_the_runtime_is_there_and_read_only(bed: Bed) -> None:
    (bed.folder / "runtime" / "finish").write_text("#!/bin/sh\necho ran\n")
    (bed.folder / "runtime" / "finish").chmod(0o755)
    outcome = await bed.run(
        "sh", "-c", "/opt/agentcontainer/finish; echo evil > /opt/agentcontainer/finish; echo $?"
    )
    assert outcome.out == "ran\n2\n"
    assert (bed.folder / "runtime" / "finish").read_text() == "#!/bin/sh\necho ran\n"


async def test_destroy_ends_everything_and_gives_everything_back(bed: Bed) -> None:
    descriptors = os.listdir("/proc/self/fd")
    spec = bed.spec()
    flood = "for i in $(seq 20); do setsid sleep 1000 & done; echo up; yes never read in time"
    sandbox = await bed.start(["sh", "-c", flood], spec)
    assert await sandbox.stdout.readline() == b"up\n"
    sandbox.stdin.write(b"never read" * 100_000)
    await asyncio.sleep(0.1)
    inside = _inside(spec.id)
    assert len(inside) >= 20
    begin = asyncio.get_running_loop().time()
    await asyncio.gather(sandbox.destroy(), sandbox.destroy())
    await sandbox.destroy()
    assert asyncio.get_running_loop().time() - begin < 5
    deadline = begin + 30  # the last of them has freed its resources, but may still be exiting
    while alive := [pid for pid in inside if _is_alive(pid)]:
        assert asyncio.get_running_loop().time() < deadline, alive
        await asyncio.sleep(0.01)
    assert procfs.with_marker(spec.id) == set()
    assert not control_groups.named(spec.id)
    assert str(bed.folder) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir("/proc/self/fd") == descriptors
    assert (await sandbox.wait()).code == 137


async def test_processes_left_behind_end_with_the_payload(bed: Bed) -> None:
    spec = bed.spec()
    sandbox = await bed.start(["sh", "-c", "setsid sleep 1000 > /dev/null 2>&1 & echo up"], spec)
    await sandbox.wait()
    async with asyncio.timeout(30):
        while _inside(spec.id):
            await asyncio.sleep(0.02)


async def test_a_cancelled_start_leaves_nothing(bed: Bed) -> None:
    for pause in (0.0, 0.005, 0.015):
        starting = asyncio.ensure_future(bed.start(["sleep", "1000"]))
        await asyncio.sleep(pause)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert _inside(bed.ids[-1]) == set()


async def test_many_sandboxes_run_concurrently(bed: Bed) -> None:
    outcomes = await asyncio.gather(*(bed.run("sh", "-c", f"echo {number}") for number in range(8)))
    assert [outcome.out for outcome in outcomes] == [f"{number}\n" for number in range(8)]


async def test_a_failed_start_says_why_and_leaves_nothing(bed: Bed) -> None:
    unreachable = bed.spec()
    unreachable.workspace.rmdir()
    linked = bed.spec()
    linked.workspace.rmdir()
    linked.workspace.symlink_to("/etc")
    twice = await bed.start(["sleep", "1000"])
    for spec, sentence in [
        (unreachable, "workspace folder does not exist"),
        (linked, "workspace folder does not exist"),
        (bed.spec(cwd="/nowhere"), "working directory does not exist"),
        (bed.spec(id="../../up"), "sandbox id"),
        (bed.spec(env={"A": "b\0--bind\0/\0/host"}), "NUL"),
        *([(bed.spec(id=twice.id), "exists already")] if bed.sandboxes.weak_limits_reason is None else []),
    ]:
        with pytest.raises(SandboxError, match=sentence) as caught:
            await bed.start(["true"], spec)
        assert str(bed.folder) not in str(caught.value)
    assert twice.stdout.at_eof() is False


async def test_disabled_user_namespaces_are_told_in_a_sentence(bed: Bed) -> None:
    outcome = await bed.run("bwrap", "--unshare-user", "--ro-bind", "/", "/", "true")
    assert outcome.code != 0
    assert "User namespaces are disabled" in explain(outcome.err)


def _inside(sandbox_id: str) -> set[int]:
    """Every process that descends from the sandbox's own, PID 1 and the launcher among them."""
    pids = procfs.with_marker(sandbox_id)
    parents = {int(path.name): int(_stat(int(path.name))[1]) for path in Path("/proc").glob("[0-9]*")}
    while children := {pid for pid, parent in parents.items() if parent in pids} - pids:
        pids |= children
    return pids


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def _is_alive(pid: int) -> bool:
    """A zombie counts as dead: its resources are freed, and only its parent (init) has not reaped it yet."""
    return _stat(pid)[0] not in "ZX"
