"""One task hibernates many times, and a bit flips in the stored checkpoint."""

import re
import time
from pathlib import Path

import pytest

from .conftest import Client, Platform, finish, script

TREE = "find . -mindepth 1 ! -name sums -printf '%P %y %m %s %T@ %n %l\n' | sort"
CHANGE = """set -e
[ ! -e sums ] || sha256sum --quiet -c sums
mkdir -p d{n}/empty
head -c 30000 /dev/urandom > d{n}/random
ln -s ../d{n}/random d{n}/link
ln d{n}/random d{n}/hard
truncate -s 1M d{n}/sparse
chmod 0500 d{n}/empty
chmod 4755 d{n}/random
touch -d 2001-02-03T04:05:06.789 d{n}/sparse
rm -rf d{old}
find . -type f ! -name sums -exec sha256sum {{}} + > sums
{tree} > ../tree
sha256sum < ../tree"""
COMPARE = "sha256sum --quiet -c sums && {tree} | tee ../found | diff ../tree - && sha256sum < ../found"
NAP = {"bash": 'hibernate --message "Pause." --for 1h'}


def wake(client: Client, task_id: str) -> None:
    client.wait(task_id, "hibernating")
    client.wake(task_id)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cycles", [3, pytest.param(50, marks=pytest.mark.long)])
def test_the_workspace_is_the_same_after_each_hibernation(client: Client, cycles: int) -> None:
    steps: list[dict[str, str]] = []
    for n in range(cycles):
        steps += [
            {"bash": CHANGE.format(n=n, old=n - 2, tree=TREE)},
            NAP,
            {"bash": COMPARE.format(tree=TREE)},
        ]
    task_id = client.dispatch(script(*steps, finish()))
    for _ in range(cycles):
        wake(client, task_id)
    assert client.wait(task_id)["status"] == "finished"
    tool_outputs = [e["data"]["output"] for e in client.events(task_id) if e["type"] == "tool.completed"]
    tool_outputs = [output for output in tool_outputs if "was accepted" not in output]
    saved, restored = tool_outputs[0:-1:2], tool_outputs[1::2]
    assert saved == restored, "every file survives each hibernation"
    assert len(set(saved)) == cycles, "each hibernation saved a changed workspace"
    assert all(re.fullmatch(r"[0-9a-f]{64}  -\n", line) for line in saved), saved


def test_a_corrupted_checkpoint_fails_the_task_with_a_reason(
    client: Client, shared_platform: Platform
) -> None:
    task_id = client.dispatch(script({"bash": "echo kept > a.txt"}, NAP, finish("a.txt")))
    client.wait(task_id, "hibernating")
    [blob] = [
        path
        for path in (shared_platform.data_dir / "blobs").rglob(f"checkpoints/{task_id}/*")
        if path.is_file()
    ]
    flip(blob)
    wake(client, task_id)
    task = client.wait(task_id)
    assert (task["status"], task["errorCode"]) == ("failed", "checkpoint_corrupt"), task
    assert task["costUsd"] == 0
    deadline = time.monotonic() + 60
    while client.ledger_sum() != 100:
        assert time.monotonic() < deadline


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.long
def test_a_workspace_above_the_checkpoint_quota_does_not_hibernate(scripted_url: str) -> None:
    platform = Platform(scripted_url, capacity="1", checkpoint_quota_bytes="1000")
    try:
        platform.start()
        client = platform.account()
        task_id = client.dispatch(script({"bash": "head -c 100000 /dev/urandom > big"}, NAP, finish("big")))
        task = client.wait(task_id)
        assert (task["status"], task["completion"]) == ("finished", "complete")
        refusals = [
            e["data"]["output"] for e in client.events(task_id)
            if e["type"] == "tool.completed" and "could not be saved" in e["data"]["output"]
        ]  # fmt: skip
        assert "checkpointStorage.quotaBytes" in refusals[0]
    finally:
        platform.close()
