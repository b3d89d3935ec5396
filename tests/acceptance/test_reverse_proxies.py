"""The samples in deploy/proxy: nginx and Caddy between the Python client and the API, with TLS."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from agentcontainer_client import AgentContainer, events
from tests.certificates import Authority
from tests.ports import free_port

from .bed import Client, Platform, finish, script, waiting
from .up import wait_until

SAMPLES = Path(__file__).parents[2] / "deploy/proxy"
HOST = "localhost"
INVENTED = "203.0.113.7"  # an address that a client claims to have
SECRET = "this-stands-in-a-query"
LARGE = 3 * 1024**2  # more than nginx takes by default
SHORTEST_SECONDS = 60  # a proxy waits longer than the 30 s that a request may take


@dataclass(frozen=True)
class Front:
    """A proxy that runs, and the platform and the account behind it."""

    url: str
    platform: Platform
    account: Client
    tls: ssl.SSLContext
    log: Path

    def client(self) -> AgentContainer:
        transport = httpx2.HTTPTransport(verify=self.tls)
        return AgentContainer(self.url, self.account.api_key, transport=transport)


@pytest.fixture(scope="module")
def behind(scripted_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The platform, the port of the proxies, which run one after the other, and their certificate."""
    folder = Path(tempfile.mkdtemp(prefix="ac-proxy-", dir="/tmp"))
    authority = Authority(folder)
    authority.issue(folder / "chain.pem", HOST)
    url = f"https://{HOST}:{free_port()}"
    with Platform(scripted_url, capacity="2", public_url=url, trusted_proxies="127.0.0.1") as platform:
        tls = ssl.create_default_context(cafile=authority.file)
        yield Front(url, platform, platform.account(), tls, folder / "access.log")
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, behind: Front) -> Iterator[Front]:
    behind.log.unlink(missing_ok=True)
    with {"nginx": nginx, "caddy": caddy}[request.param](behind):
        yield behind


def sample(name: str, front: Front, replaced: dict[str, str]) -> str:
    """The sample with this host's addresses and files; each must be in it."""
    text = (SAMPLES / name).read_text()
    folder, port = front.log.parent, front.url.rpartition(":")[2]
    replaced = {
        "127.0.0.1:8080": front.platform.base_url.removeprefix("http://"),
        "/etc/ssl/agents.example.com.pem": str(folder / "chain.pem"),
        "/etc/ssl/agents.example.com.key": str(folder / "chain.pem"),
        **replaced,
    }
    for old, new in replaced.items():
        assert old in text, f"{old} is not in {name}"
        text = text.replace(old, new.replace("PORT", port))
    return text


@contextmanager
def nginx(front: Front) -> Iterator[None]:
    folder = front.log.parent
    site = sample(
        "nginx.conf", front,
        {
            "listen 443": "listen 127.0.0.1:PORT",
            "    listen [::]:443 ssl http2;\n": "",
            "server_name agents.example.com": f"server_name {HOST}",
            "/var/log/nginx/agentcontainer.log": str(front.log),
        },
    )  # fmt: skip
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"user root;\ndaemon off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n{paths}{site}}}\n"
    )
    with running(front, "/usr/sbin/nginx", "-e", "stderr", "-c", str(file)):
        yield


@contextmanager
def caddy(front: Front) -> Iterator[None]:
    folder = front.log.parent
    text = sample(
        "Caddyfile", front,
        {
            "\tservers {": "\tadmin off\n\tauto_https disable_redirects\n\tservers {",
            "\nagents.example.com {": f"\nhttps://{HOST}:PORT {{\n\tbind 127.0.0.1",
            "/var/log/caddy/agentcontainer.log": str(front.log),
        },
    )  # fmt: skip
    file = folder / "Caddyfile"
    file.write_text(text)
    with running(front, "/usr/bin/caddy", "run", "--config", str(file), "--adapter", "caddyfile"):
        yield


@contextmanager
def running(front: Front, *argv: str) -> Iterator[None]:
    """Run the proxy during the block."""
    folder, port = front.log.parent, int(front.url.rpartition(":")[2])
    output = folder / "proxy.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=os.environ | {"HOME": str(folder)},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_a_task_with_a_large_file_runs_through_the_proxy(front: Front, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    with front.client() as client:
        steps = script({"bash": "cp task_files/large.bin copy.bin"}, finish("copy.bin"))
        task = client.tasks.run(steps, agent="agt_standard_data", files=[("large.bin", content)], timeout=60)
        [output] = task.files()
        copy = output.download(tmp_path)
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_events_arrive_while_the_task_still_works(front: Front) -> None:
    """A proxy that buffered would show none: the task goes on when they have arrived."""
    with front.client() as client:
        task = client.tasks.create(script(waiting(), finish()), agent="agt_standard_data")
        front.account.task_ids.add(task.id)
        seen: list[str] = []
        with task.stream() as stream:
            for event in stream:
                seen.append(event.type)
                if isinstance(event, events.ToolStarted) and seen.count("tool.started") == 1:
                    front.platform.unblock(task.id)
        assert seen[-1] == "task.finished"


def test_the_log_of_the_proxy_has_the_path_and_no_query(front: Front) -> None:
    with httpx2.Client(verify=front.tls, trust_env=False) as http:
        answer = http.get(f"{front.url}/healthz?{SECRET}=1", headers={"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code in (200, 400)
    deadline = time.monotonic() + 10
    while "/healthz" not in (text := front.log.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert SECRET not in text and front.account.api_key not in text


def test_a_client_cannot_invent_its_address(front: Front) -> None:
    request_id = f"req_{secrets.token_hex(8)}"
    headers = {"X-Forwarded-For": INVENTED, "Forwarded": f"for={INVENTED}", "X-Request-Id": request_id}
    with httpx2.Client(verify=front.tls, trust_env=False) as http:
        assert http.get(f"{front.url}/healthz", headers=headers).status_code == 200
    assert wait_until(lambda: request_id in front.platform.log(), 10)
    [line] = [line for line in front.platform.log().splitlines() if request_id in line]
    assert line.endswith(" 127.0.0.1")


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_a_proxy_waits_longer_than_the_api_needs(name: str) -> None:
    text = (SAMPLES / name).read_text()
    waits = re.findall(
        r"(?:proxy_read_timeout|proxy_send_timeout|response_header_timeout|send_timeout) (\d+)s", text
    )
    assert waits and min(map(int, waits)) > SHORTEST_SECONDS
