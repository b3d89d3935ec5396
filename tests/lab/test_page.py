"""docs/operations/several-hosts.md, followed word by word on empty hosts."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.bed import Client

from . import object_store
from .host import Host
from .lab import COMMAND, MODEL_PORT, Lab, answers, wait_until

PAGE = Path(__file__).parents[2] / "docs/operations/several-hosts.md"
BLOCK = re.compile(r"^```sh\n# on (?P<where>.*)\n(?P<commands>(?:.*\n)*?)```$", re.MULTILINE)
CONFIGURATION = re.compile(r"^`(?P<path>/\S+)`:\n\n```\w+\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
HOSTS = {"db.internal": "db", "s3.internal": "s3", "api1.internal": "api1", "api2.internal": "api2",
         "r1.internal": "r1", "r2.internal": "r2", "agents.example.com": "lb", "your computer": "switch"}  # fmt: skip
SETTINGS = "/etc/agentcontainer.env"
SERVICES = ("agentcontainer api", "agentcontainer runner", "haproxy")
# /etc and /var/lib are this machine's: what a host writes there goes into a layer of its own.
LAYERS = """
for folder in /etc /var/lib; do
    layer={folder}/layer$folder; mkdir -p $layer/upper $layer/work
    mount -t overlay -o lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work lab $folder
done
mkdir -p /var/lib/agentcontainer /etc/agentcontainer /etc/haproxy {folder}/data
mount --bind {folder}/data /var/lib/agentcontainer
"""


@dataclass(frozen=True)
class Block:
    """Commands, and the hosts on which the page says to run them."""

    hosts: list[str]
    commands: str

    @property
    def service(self) -> str | None:
        """The command that goes on running."""
        last = self.commands.strip().splitlines()[-1]
        return last if last.startswith(SERVICES) else None


def blocks() -> Iterator[Block]:
    for match in BLOCK.finditer(PAGE.read_text()):
        where = match["where"].split(",")[0]
        yield Block([HOSTS[name] for name in where.split(" and ")], match["commands"])


class EmptyHosts(Lab):
    """The hosts of the page, with PostgreSQL and S3 as their providers would have them."""

    def start(self) -> None:
        (self.folder / "disk").mkdir()
        for name, host in self.hosts.items():
            host.setup += LAYERS.format(folder=self.folder / "disk" / name)
        self.boot(*self.hosts.values())
        self.database.create()
        self.database.start()
        object_store.start(self.hosts["s3"], access_key="change-me-2", secret_key="change-me-3")
        self.start_model()
        with self.network.entered():
            object_store.wait_ready(self.hosts["s3"], access_key="change-me-2", secret_key="change-me-3")
        self._install()

    def _install(self) -> None:
        """What the page takes for granted: the program, the CA and the load balancer's certificate."""
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "agentcontainer").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
        (programs / "agentcontainer").chmod(0o755)
        certificate = self.folder / "front.pem"
        self.authority.issue(certificate, "agents.example.com")
        for name in ("api1", "api2", "r1", "r2"):
            self.hosts[name].run("cp", self.authority.file, "/etc/agentcontainer/ca.pem")
        self.hosts["lb"].run("cp", certificate, "/etc/haproxy/agents.example.com.pem")

    def variables(self, host: Host) -> dict[str, str]:
        """The environment of a shell on a host. The offline model stands in for the provider."""
        return {
            "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(host.folder),
            "LANG": "C.UTF-8",
            "PGHOST": str(self.database.folder),
            "CURL_CA_BUNDLE": str(self.authority.file),
            "AGENTCONTAINER_ANTHROPIC_BASE_URL": f"http://{self.hosts['model'].address}:{MODEL_PORT}",
            "AGENTCONTAINER_SANDBOX_UID_BASE": str(self.first_uid(host.name)),
        }


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_command_of_the_page_works() -> None:
    with EmptyHosts() as lab, lab.network.entered():
        for match in CONFIGURATION.finditer(PAGE.read_text()):
            path_on(lab.hosts["lb"], match["path"]).write_text(match["text"])
        account: dict[str, str] = {}
        for block in blocks():
            for name in block.hosts:
                follow(lab, lab.hosts[name], block, account)
        [task] = [json.loads(line) for line in (lab.folder / "task.json").read_text().splitlines()]
        client = Client("http://10.77.0.51:8080", account["apiKey"], account["accountId"])
        lab.clients.append(client)
        assert client.wait(task["id"])["status"] == "finished"


def follow(lab: EmptyHosts, host: Host, block: Block, account: dict[str, str]) -> None:
    """Run a block on a host; what it prints into `account.json` and `task.json` is in the lab's folder."""
    variables = lab.variables(host) | ({"KEY": account["apiKey"]} if account else {})
    shell = ("sh", "-c", f'cd {lab.folder} && exec bash -euo pipefail -c "$0"', block.commands)
    if (command := block.service) is None:
        as_user = (
            ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if host.name == "db" else ()
        )
        host.run(*as_user, *shell, environment=variables)
    else:
        service = host.start(command.split()[0], *shell, environment=variables)
        wait_until(lambda: is_serving(host) or not service.is_running(), service.log)
        assert service.is_running(), service.log()
    if (lab.folder / "account.json").exists():
        account |= json.loads((lab.folder / "account.json").read_text())
    copy_settings(lab)


def copy_settings(lab: EmptyHosts) -> None:
    """The page says so in words: the file of the first API's host is that of every host."""
    settings = path_on(lab.hosts["api1"], SETTINGS)
    if settings.exists():
        for name in ("api2", "r1", "r2"):
            shutil.copy(settings, path_on(lab.hosts[name], SETTINGS))


def path_on(host: Host, path: str) -> Path:
    return Path(f"/proc/{host.pid}/root{path}")


def is_serving(host: Host) -> bool:
    """Whether the service that was started last on this host has come up."""
    if host.name == "lb":
        return answers("https://10.77.0.40/readyz")
    if host.name.startswith("api"):
        return answers(f"http://{host.address}:8080/readyz")
    return "capacity 8" in host.services["agentcontainer"].log()
