"""Collecting from a workspace while its agent swaps files, folders, links and sizes: nothing outside is ever read."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.runner.workspace.outputs import Refused, collect
from tests.ordinary_user import as_ordinary_user, home_in

SECRET = b"the host's secret"
LIMIT = 100_000
TRIES = 200

# `out/file` and `out` change type all the time; `secret` is world-readable, as many files of a host are.
SWAP = """
import contextlib, os, sys
os.chdir(sys.argv[1])
secret = sys.argv[2]
def plain(): open("new", "wb").write(b"the agent's")
def link(): os.symlink(secret, "new")
def hard(): os.link("mine", "new")
def pipe(): os.mkfifo("new")
def folder(): os.mkdir("new")
def huge(): open("new", "wb").truncate(10_000_000)
open("mine", "wb").write(b"the agent's other")
os.mkdir("out")
print("ready", flush=True)
kinds = [plain, link, plain, hard, pipe, folder, huge]
while os.getppid() == int(sys.argv[3]):
    for kind in kinds:
        with contextlib.suppress(OSError):
            kind()
        with contextlib.suppress(OSError):
            os.rename("new", "out/file")
        for name, remove in (("new", os.unlink), ("new", os.rmdir)):
            with contextlib.suppress(OSError):
                remove(name)
        if kind is folder:
            with contextlib.suppress(OSError):
                os.rmdir("out/file")
    with contextlib.suppress(OSError):
        os.rename("out", "away")
        os.symlink(os.path.dirname(secret), "out")
        os.unlink("out")
        os.rename("away", "out")
"""


@contextmanager
def swapping(task: Path, secret: Path) -> Iterator[None]:
    argv = [sys.executable, "-c", SWAP, str(task), str(secret), str(os.getpid())]
    argv = as_ordinary_user(argv) if os.geteuid() == 0 else argv
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/")
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_swapping_a_declared_file_never_exposes_a_file_of_the_host(
    short_dir: Path,
) -> None:
    home = home_in(short_dir)
    task = home / "workspace/task"
    task.mkdir(parents=True)
    for folder in (home / "workspace", task):
        os.chown(folder, home.stat().st_uid, home.stat().st_gid)
    (short_dir / "open").mkdir(mode=0o755)
    secret = short_dir / "open/file"
    secret.write_bytes(SECRET)
    secret.chmod(0o644)
    blobs = Blobs(f"file://{short_dir}/blobs")
    collected: list[bytes] = []
    refused: set[str] = set()
    with swapping(task, secret):
        async with asyncio.timeout(90):
            tries = 0
            while tries < TRIES or not (collected and len(refused) > 1):
                tries += 1
                try:
                    [output] = await collect(
                        home / "workspace", "/workspace/task", [Declared("out/file")], OutputPolicy("any"), blobs,
                        f"tsk_{tries}", LIMIT,
                    )  # fmt: skip
                except Refused as refusal:
                    refused.add(str(refusal))
                    continue
                collected.append(b"".join([chunk async for chunk in blobs.stream(output.blob_key)]))
                assert output.size_bytes == len(collected[-1])
    # Truncated, not yet written, a hard link whose other name is gone: all of these are the agent's own files.
    assert set(collected) <= {b"the agent's", b"the agent's other", b""}
    assert not any(str(short_dir) in sentence for sentence in refused)
    assert not any(SECRET in path.read_bytes() for path in (short_dir / "blobs").rglob("*") if path.is_file())
    assert secret.read_bytes() == SECRET
