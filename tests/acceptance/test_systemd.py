"""The units in deploy/systemd, started and stopped by a systemd."""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests import oci
from tests.ordinary_user import NEEDED
from tests.ports import free_port
from tests.postgres_socket import open_socket
from tests.s3_server import CREDENTIALS, S3Server
from tests.systemd_machine import Machine

from .bed import script
from .up import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400), pytest.mark.xdist_group("systemd")]

UNITS = Path(__file__).parents[2] / "deploy/systemd"
UID_BASE = 730_000  # no other test's
# What a unit waits for on a host that boots. The machine has no network to set up and no disks to mount.
ALONE = "[Unit]\nDefaultDependencies=no\n"
# Where this Python is below a home folder, which the units hide, the rest stays hidden.
HOMES = ("/root", "/home")
BELOW_HOMES = " ".join(str(path) for path in NEEDED if str(path).startswith(HOMES))
IF_BELOW_HOMES = f"[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths={BELOW_HOMES}\n"
PROFILE = "/root/.config/agentcontainer/config.toml"
IMAGES = "/srv/images"


@pytest.fixture(scope="module")
def machine(postgres_url: str) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="ac-systemd-", dir="/tmp"))
    (folder / "layer").mkdir()
    machine = Machine(folder / "layer", open_socket(postgres_url))  # the API connects as a user of its own
    try:
        machine.start()
        command = Path(sys.executable).with_name("agentcontainer")
        machine.run("ln", "-sf", str(command), "/usr/local/bin/agentcontainer")
        yield machine
    finally:
        machine.stop()
        shutil.rmtree(folder)


def install(machine: Machine, *units: str, drop_in: str = "", **settings: str) -> str:
    """Install the units and their settings as the page says; returns the URL of an API that they start."""
    port = free_port()
    for unit in units:
        machine.write(f"/etc/systemd/system/{unit}.service", (UNITS / f"{unit}.service").read_text())
        adapt(machine, unit)
        if drop_in:
            machine.write(f"/etc/systemd/system/{unit}.service.d/user.conf", drop_in)
    sample = (UNITS / "agentcontainer.env").read_text()
    sample = sample.replace("https://agents.example.com", f"http://127.0.0.1:{port}")
    settings = {
        "AGENTCONTAINER_PORT": str(port), "AGENTCONTAINER_SANDBOX_UID_BASE": str(UID_BASE),
        "AGENTCONTAINER_OFFLINE_MODEL": "all", **settings,
    }  # fmt: skip
    more = "".join(f"{name}='{value}'\n" for name, value in settings.items())
    machine.write("/etc/agentcontainer.env", sample + more, 0o600)
    machine.run("systemctl", "daemon-reload")
    return f"http://127.0.0.1:{port}"


def adapt(machine: Machine, unit: str) -> None:
    """Drop-ins that the unit needs here and nowhere else."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    machine.write(f"{folder}/alone.conf", ALONE)
    if BELOW_HOMES and "ProtectHome=yes" in machine.path(f"/etc/systemd/system/{unit}.service").read_text():
        machine.write(f"{folder}/homes.conf", IF_BELOW_HOMES)


def wait_ready(machine: Machine, url: str, unit: str) -> None:
    def is_ready() -> bool:
        try:
            return httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False

    assert wait_until(is_ready, 90), machine.journal(unit)


def stop(machine: Machine, *units: str) -> None:
    """Stop the units. Nothing had to be killed."""
    before = {unit: len(machine.journal(unit)) for unit in units}
    began = time.monotonic()
    machine.run("systemctl", "stop", *units)
    assert time.monotonic() - began < 45
    for unit in units:
        journal = machine.journal(unit)[before[unit] :]
        assert machine.show(unit, "Result") == "success", journal
        assert "killing" not in journal.lower()


def test_all_on_one_machine(machine: Machine) -> None:
    unit = "agentcontainer"
    url = install(machine, unit)
    machine.run("systemctl", "start", unit)
    wait_ready(machine, url, unit)
    assert wait_until(machine.path(PROFILE).exists, 10)
    # The first key is root's, and not in the journal.
    assert machine.path(PROFILE).stat().st_mode & 0o777 == 0o600
    [key] = re.findall(r'api_key = "(\S+)"', machine.path(PROFILE).read_text())
    done = machine.run("agentcontainer", "run", "-q", "--json=status", "Say hello.")
    assert json.loads(done) == {"status": "finished"}
    journal = machine.journal(unit)
    assert key not in journal and "WEAK" not in journal, journal

    # A task that runs while the service stops is saved, and goes on at the next start.
    steps = [
        {"bash": "echo 1 >one; sleep 4; cat one"},
        {"bash": "finish --complete-task --message 'Went on.'"},
    ]
    task = machine.run("agentcontainer", "run", "-q", "-d", script(*steps))
    assert wait_until(lambda: "tool.started" in machine.run("agentcontainer", "logs", "--raw", task), 30)
    stop(machine, unit)
    machine.run("systemctl", "start", unit)
    wait_ready(machine, url, unit)
    ended = machine.run("agentcontainer", "wait", "-q", "--json=result", task)
    assert json.loads(ended) == {"result": "Went on."}
    assert "task.requeued" in machine.run("agentcontainer", "logs", "--raw", task)

    # Killed as the kernel would: systemd ends what is left and starts it again.
    main = machine.show(unit, "MainPID")
    machine.run("kill", "-KILL", main)
    assert wait_until(lambda: machine.show(unit, "MainPID") not in ("0", main), 30)
    wait_ready(machine, url, unit)
    stop(machine, unit)


def test_as_an_ordinary_user(machine: Machine) -> None:
    unit = "agentcontainer"
    machine.run("useradd", "--system", "--create-home", "agentcontainer")
    machine.run("rm", "-rf", "/var/lib/agentcontainer")
    url = install(machine, unit, drop_in=(UNITS / "ordinary-user.conf").read_text())
    machine.run("systemctl", "start", unit)
    try:
        wait_ready(machine, url, unit)
        user = ["setpriv", "--reuid=agentcontainer", "--regid=agentcontainer", "--clear-groups"]
        home = "/home/agentcontainer"
        assert wait_until(machine.path(f"{home}/.config/agentcontainer/config.toml").exists, 10)
        done = machine.run(*user, "agentcontainer", "run", "-q", "--json=status", "Say hello.", HOME=home)
        assert json.loads(done) == {"status": "finished"}
    finally:
        stop(machine, unit)
        machine.run("rm", "-rf", "/etc/systemd/system/agentcontainer.service.d/user.conf")


def test_an_api_and_a_runner_of_their_own(machine: Machine, database_url: str, s3: S3Server) -> None:
    host = parse_qs(urlsplit(database_url).query)["host"][0]
    machine.run("mkdir", "-m", "755", "-p", IMAGES)
    entries = [
        oci.Entry("etc/os-release", b"NAME=Test\n"),
        oci.Entry("usr/bin/tool", b"#!/bin/sh\n", mode=0o4755),
    ]
    oci.Layout(machine.path(f"{IMAGES}/one"), [oci.system(), oci.layer(entries)])
    units = ("agentcontainer-api", "agentcontainer-runner")
    url = install(
        machine, *units, AGENTCONTAINER_DATABASE_URL=database_url.replace(host, "/srv/postgres"),
        AGENTCONTAINER_STORAGE_URL=s3.storage_url("systemd"), AGENTCONTAINER_SECRET_KEY="k" * 40,
        AGENTCONTAINER_IMAGE_FOLDERS=IMAGES, **CREDENTIALS,
    )  # fmt: skip
    machine.run("systemctl", "start", *units)
    wait_ready(machine, url, units[0])
    admin = "set -a; . /etc/agentcontainer.env; exec agentcontainer admin create-account --name Test --credit 9 --json"
    key = json.loads(machine.run("sh", "-c", admin))["apiKey"]
    with httpx2.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ) as api:
        body = {"name": "In an image", "runtime": {"containerImage": f"oci:{IMAGES}/one"}}
        agent = api.post("/agents", json=body, timeout=60)
        assert agent.status_code == 201, agent.text
    as_user = {"AGENTCONTAINER_URL": url, "AGENTCONTAINER_API_KEY": key}
    done = machine.run(
        *("agentcontainer", "run", "-q", "--json=status,result", "-a", agent.json()["id"]),
        script({"bash": "finish --complete-task --message \"$(. /etc/os-release; echo $NAME)\""}), **as_user,
    )  # fmt: skip
    assert json.loads(done) == {"status": "finished", "result": "Test"}
    assert "WEAK" not in machine.journal(units[1])
    owner = int(machine.run("stat", "-c", "%u", f"/proc/{machine.show(units[0], 'MainPID')}"))
    assert owner > 60_000, "a user of systemd's own making"
    stop(machine, *units)


def test_no_escape_succeeds_under_the_hardening_of_the_runner(machine: Machine) -> None:
    """Some cannot be shown: the hardening itself refuses what the control of the attempt must be able to do."""
    text = (UNITS / "agentcontainer-runner.service").read_text()
    text = text.replace("agentcontainer runner\n", "agentcontainer doctor --prove\n")
    text = text.replace("Type=exec", "Type=oneshot").replace("Restart=always\n", "")
    machine.write("/etc/systemd/system/prove.service", text)
    adapt(machine, "prove")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "prove", is_checked=False, seconds=300)
    journal = machine.journal("prove")
    assert machine.show("prove", "ExecMainStatus") in ("0", "2"), journal
    [(attempts, blocked, others)] = re.findall(
        r"^(\d+) attempts: (\d+) blocked(?:, (\d+) could not be shown)?\.$", journal, re.MULTILINE
    )
    assert int(attempts) == int(blocked) + int(others or 0)
    assert int(blocked) > 140
