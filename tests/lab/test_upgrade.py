"""From the tag `upgrade-base` to this version under load: migrate, then restart one process after the other."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import APIS, COMMAND, RUNNERS, Lab, wait_until
from .load import Load

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("LAB_UPGRADE_FROM", "upgrade-base")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def base_command() -> Iterator[tuple[str, ...]]:
    """The version of the tag, set up with its own locked packages."""
    with tempfile.TemporaryDirectory(prefix="ac-base-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        archive = subprocess.run(["git", "archive", BASE], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", name], input=archive.stdout, check=True)
        done = subprocess.run(["bash", f"{name}/scripts/setup.sh"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        yield (f"{name}/.venv/bin/python", "-m", "agentcontainer.cli.main")


class BaseLab(Lab):
    """A lab in which every process is of the older version."""

    def __init__(self, command: tuple[str, ...]) -> None:
        super().__init__()
        self.commands = dict.fromkeys(self.commands, command)

    async def migrate(self) -> None:
        self.run_migrate(self.commands["api1"])

    def run_migrate(self, command: tuple[str, ...]) -> None:
        self.hosts["api1"].run(*command, "migrate", environment=self.environment("api1"))

    async def _make_account(self, credit_micro_usd: int) -> tuple[str, str]:
        made = self.hosts["api1"].run(
            *self.commands["api1"], "admin", "create-account", "--name", "Lab", "--json",
            "--credit", str(credit_micro_usd / 1_000_000), environment=self.environment("api1"),
        )  # fmt: skip
        account = json.loads(made[made.index("{") :])
        return account["accountId"], account["apiKey"]

    def replace(self, name: str) -> None:
        """Stop a process, and start this version in its place."""
        self.commands[name] = COMMAND
        self.restart(name)


def test_nothing_is_lost_or_refused(base_command: tuple[str, ...]) -> None:
    with BaseLab(base_command) as lab, lab.network.entered(), Load(lab.account()) as load:
        let_work(load, 5)
        lab.run_migrate(COMMAND)
        let_work(load, 5)
        lab.restart("r1")  # the older version, with the newer schema
        until_used(lab, "r1")
        for name in (*APIS, *RUNNERS):
            lab.replace(name)
            let_work(load, 3)
        until_used(lab, "r1")
        finish_all(lab, load)
        print(
            f"{len(load.contents)} tasks, {load.turns} turns, {load.streams} streams, "
            f"{load.repeated} requests repeated after a broken connection"
        )


def let_work(load: Load, tasks: int) -> None:
    """Until so many more tasks have been dispatched."""
    count = len(load.contents) + tasks
    wait_until(lambda: len(load.contents) >= count, lambda: str(load.failures))


def until_used(lab: Lab, name: str) -> None:
    """Until a sandbox that began just now runs on this host."""
    since = time.time()
    wait_until(lambda: lab.observer.first_seen_on(name, since) is not None, f"{name} takes no work")


def end_long_task(lab: Lab, load: Load) -> None:
    """Make the file that its agent waits for; a runner may be restoring its workspace just now."""

    def is_made() -> bool:
        for folder in workspaces(lab, load.long_task):
            folder.joinpath("end").touch()
        return load.client.task(load.long_task)["status"] == "finished"

    wait_until(is_made, lambda: str(load.client.task(load.long_task)))


def workspaces(lab: Lab, task_id: str) -> Iterator[Path]:
    """The folder of the task's agent, as this machine sees it, if it runs."""
    for name in RUNNERS:
        for group in lab.hosts[name].group.sandboxes():
            if group.name.startswith(task_id):
                for pid in (group / "cgroup.procs").read_text().split():
                    folder = Path(f"/proc/{pid}/root/workspace/task")
                    if folder.is_dir():
                        yield folder
                        break


def finish_all(lab: Lab, load: Load) -> None:
    client = load.client
    end_long_task(lab, load)
    client.wait(load.long_task)
    load.stop()
    assert load.failures == []
    for task_id, content in load.contents.items():
        assert client.wait(task_id)["status"] == "finished"
        assert client.outputs(task_id) == {"out.txt": f"{content}\n".encode()}
    assert load.frames == client.events(load.long_task)
    client.wait(load.conversation, "awaiting_input")
    messages = client.messages(load.conversation)
    said = [message["content"] for message in messages if message["role"] == "assistant"]
    assert said == [f"Noted {turn}." for turn in range(load.turns + 1)]
    assert lab.ledger_faults() == []
