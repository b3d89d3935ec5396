"""The images of deploy/container, built by podman on a base made by mmdebstrap, and run as the manifests run them."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.control_groups import remove_tree
from tests.ports import free_port
from tests.postgres_socket import open_socket
from tests.s3_server import CREDENTIALS, S3Server

from .bed import finish, script
from .up import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400), pytest.mark.xdist_group("container images")]

ROOT = Path(__file__).parents[2]
PACKAGES = {"podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap"}
# Where pip of this machine finds packages, and the CAs that it trusts. Elsewhere most of it does not exist.
CAS = "/etc/ssl/certs/ca-certificates.crt"
SETTINGS_OF_PIP = ("/etc/pip.conf", "/etc/xdg/pip", "/opt/wheels", "/opt/pypi", "/opt/pypi-more", CAS)
UID_BASE = 740_000  # no other test's


class Podman:
    """podman, with its images and containers in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._group = folder.name
        self._argv = [
            "podman",
            f"--root={folder}/store",
            f"--runroot={folder}/run",
            "--cgroup-manager=cgroupfs",
        ]
        self._argv += ["--events-backend=file", "--runtime=runc"]

    def __call__(self, *arguments: str, seconds: float = 1500, is_checked: bool = True) -> str:
        done = subprocess.run(
            [*self._argv, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0 or not is_checked, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def start(self, name: str, *arguments: str) -> None:
        # The limits of a container that podman sets by itself may be above those of this process.
        limits = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"]
        group = f"--cgroup-parent=/{self._group}"
        self("run", "--detach", f"--name={name}", "--network=host", group, *limits, *arguments)

    def logs(self, name: str) -> str:
        """What a container has written, to stdout and stderr."""
        done = subprocess.run([*self._argv, "logs", name], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def close(self) -> None:
        """Remove all containers, images and control groups."""
        self("rm", "--all", "--force", "--time=5", is_checked=False)
        self("rmi", "--all", "--force", is_checked=False)
        remove_tree(self._group)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """podman with both images."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(install, check=True, capture_output=True)
    folder = Path(tempfile.mkdtemp(prefix="ac-podman-", dir="/tmp"))
    podman = Podman(folder)
    try:
        subprocess.run(["make", "wheels"], cwd=ROOT, check=True, capture_output=True)
        base = folder / "base.tar"
        make = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(base)]
        subprocess.run(make, check=True, capture_output=True)
        podman("import", "--quiet", str(base), "localhost/base:12")
        volumes = [f"--volume={path}:{path}:ro" for path in SETTINGS_OF_PIP if os.path.exists(path)]
        for target in ("api", "runner"):
            podman(
                "build", "--quiet", "--isolation=chroot", "--network=host", "--layers", *volumes,
                "--build-arg=BASE=localhost/base:12", f"--build-arg=SSL_CERT_FILE={CAS}",
                f"--target={target}", f"--tag=localhost/{target}:1",
                "--file=deploy/container/Containerfile", ".",
            )  # fmt: skip
        yield podman
    finally:
        podman.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_task_runs_in_the_containers_of_an_api_and_a_runner(
    podman: Podman, database_url: str, s3: S3Server, short_dir: Path
) -> None:
    port, probe = free_port(), free_port()
    socket = str(open_socket(database_url))  # the API connects as a user of its own
    settings = {
        "AGENTCONTAINER_DATABASE_URL": database_url.replace(socket, "/srv/postgres"),
        "AGENTCONTAINER_STORAGE_URL": s3.storage_url("containers"),
        "AGENTCONTAINER_SECRET_KEY": "k" * 40,
        "AGENTCONTAINER_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "AGENTCONTAINER_OFFLINE_MODEL": "all",
        "AGENTCONTAINER_SANDBOX_UID_BASE": str(UID_BASE),
        "AGENTCONTAINER_RUNNER_METRICS_ADDRESS": f"127.0.0.1:{probe}",
        **CREDENTIALS,
    }
    common = [f"--env={name}={value}" for name, value in settings.items()] + [
        f"--volume={socket}:/srv/postgres"
    ]
    confined = ["--read-only", "--tmpfs=/data:mode=1777", "--tmpfs=/tmp", "--cap-drop=all"]
    confined += ["--security-opt=no-new-privileges"]
    podman.start("api", *common, *confined, "localhost/api:1", "api", "--port", str(port))
    (short_dir / "data").mkdir()
    (short_dir / "locks").mkdir()
    volumes = [f"--volume={short_dir}/data:/data", f"--volume={short_dir}/locks:/run/lock/agentcontainer"]
    podman.start(
        "runner", *common, "--privileged", *volumes, "localhost/runner:1", "runner", "--capacity", "2"
    )
    for name, address in (("api", port), ("runner", probe)):
        assert wait_until(lambda address=address: is_ready(address), 90), podman.logs(name)
    account = ["agentcontainer", "admin", "create-account", "--name", "Test", "--credit", "9", "--json"]
    key = json.loads(podman("exec", "api", *account))["apiKey"]
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{port}/api/v1",
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    ) as api:
        steps = script({"bash": "git --version >v.txt; id -u >>v.txt"}, finish("v.txt"))
        sent = api.post("/agents/agt_standard_data/tasks", json={"instructions": steps})
        assert sent.status_code == 201, sent.text
        path = f"/tasks/{sent.json()['id']}"
        assert wait_until(lambda: api.get(path).json()["status"] not in ("pending", "running"), 90)
        task = api.get(path).json()
        assert task["status"] == "finished", task
    assert podman("exec", "api", "id", "-u") == "65532"
    assert "WEAK" not in podman.logs("runner")
    for name, limit in (("api", 20), ("runner", 50)):
        began = time.monotonic()
        podman("stop", "--time=60", name)
        assert time.monotonic() - began < limit
        assert podman("inspect", "--format={{.State.ExitCode}}", name) == "0", podman.logs(name)


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False
