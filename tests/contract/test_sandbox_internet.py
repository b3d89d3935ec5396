"""Internet access: the public internet or named hosts, and never the host, its neighbours or a cloud's metadata.

All run in a simulated internet (tests/internet.py), in which every address that must not be reached answers.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import internet
from tests.internet import World, answer
from tests.ordinary_user import as_ordinary_user, home_in

pytestmark = pytest.mark.xdist_group("internet")

# Prints a line for each `HOST:PORT`: what it received, or the name of the error.
CONNECT = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"ping")
            connection.shutdown(socket.SHUT_WR)
            said = b""
            while chunk := connection.recv(4096):
                said += chunk
            print(target, said.decode().split())
    except OSError as error:
        print(target, type(error).__name__)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with internet.world(tmp_path_factory.mktemp("world")) as new_world:
        yield new_world


@pytest.fixture(params=["root", "ordinary user"])
def user(request: pytest.FixtureRequest) -> str:
    return request.param


def run(
    world: World, user: str, short_dir: Path, allow: list[str] | None, script: str, *arguments: str
) -> dict[str, Any]:
    """The result of a Python script in a sandbox on the test network's host."""
    python = ["/usr/bin/python3", "-c", script, *arguments]
    folder = home_in(short_dir) if user == "ordinary user" else short_dir
    argv: Sequence[str] = [
        sys.executable, "-m", "tests.sandbox_run", str(folder), json.dumps(allow), *python
    ]  # fmt: skip
    if user == "ordinary user":
        argv = as_ordinary_user(list(argv))
    return answer(world.inside(argv))


def lines(outcome: dict[str, Any]) -> dict[str, str]:
    assert outcome["code"] == 0, outcome["err"]
    return dict(line.split(" ", 1) for line in outcome["out"].splitlines())


def test_the_public_internet_and_nothing_else_is_reached(world: World, user: str, short_dir: Path) -> None:
    private = [f"{address}:80" for address in internet.OUTSIDE if address not in ("45.1.0.2", "45.1.0.3")]
    own = [
        "45.1.0.1:80",
        "10.7.0.1:80",
        "127.0.0.1:80",
        "10.0.2.2:80",
        "10.0.2.3:53",
        "[::1]:80",
        "[fe80::1]:80",
    ]
    named = ["public.test:443", "private.test:80", "host.test:80", "mixed.test:80"]
    outcome = run(world, user, short_dir, None, CONNECT, "45.1.0.2:80", *named, *private, *own)
    results = lines(outcome)
    assert results.pop("45.1.0.2:80") == "['at', '45.1.0.2', 'ping']"
    assert results.pop("public.test:443") == "['at', '45.1.0.2', 'ping']"
    assert results.pop("mixed.test:80") == "['at', '45.1.0.2', 'ping']"
    assert len(results) == len(private) + len(own) + 2
    assert not [target for target, result in results.items() if "at" in result], results


def test_the_control_everything_refused_would_answer_on_the_host(world: World) -> None:
    targets = [f"{address}:80" for address in (*internet.OUTSIDE, internet.HOST, internet.HOST_PRIVATE)]
    script = "import json, subprocess, sys; print(json.dumps({'out': subprocess.run([sys.executable, '-c', "
    script += f"{CONNECT!r}, *{targets!r}], capture_output=True, text=True).stdout}}))"
    printed = answer(world.inside([sys.executable, "-c", script]))["out"]
    assert str(printed).count("'ping'") == len(targets), printed


def test_a_dns_name_that_changes_to_a_private_address_is_not_reached(
    world: World, user: str, short_dir: Path
) -> None:
    script = CONNECT + "\nprint('again', socket.gethostbyname_ex('mixed.test')[2])"
    outcome = run(world, user, short_dir, None, script, "rebinding.test:80", "rebinding.test:80")
    assert "10.7.0.2" not in outcome["out"]
    assert lines(outcome)["again"] == "['45.1.0.2']"


def test_named_hosts_and_nothing_else_are_reached(world: World, user: str, short_dir: Path) -> None:
    allow = ["public.test:443", "*.wild.test", "45.1.0.3:8080", "private.test", "rebinding.test", "host.test"]
    targets = [
        "public.test:443", "a.wild.test:80", "45.1.0.3:8080", "public.test:80", "wild.test:80", "other.test:443",
        "45.1.0.2:443", "45.1.0.3:80", "private.test:80", "host.test:80", "10.7.0.2:80", "127.0.0.1:80",
    ]  # fmt: skip
    outcome = run(world, user, short_dir, allow, CONNECT, *targets)
    results = lines(outcome)
    assert results.pop("public.test:443") == "['at', '45.1.0.2', 'ping']"
    assert results.pop("a.wild.test:80") == "['at', '45.1.0.2', 'ping']"
    assert results.pop("45.1.0.3:8080") == "['at', '45.1.0.3', 'ping']"
    assert not [target for target, result in results.items() if "at" in result], results
    assert [refusal["rule"] for refusal in outcome["refused"]] == [
        "public.test:80", "wild.test", "other.test", "45.1.0.2:443", "45.1.0.3:80", "10.7.0.2:80"
    ]  # fmt: skip


def test_a_named_hosts_traffic_is_whole_and_each_way_ends_by_itself(world: World, short_dir: Path) -> None:
    script = """
import hashlib, socket, threading
connection = socket.create_connection(("public.test", 443), timeout=20)
sent = bytes(range(256)) * 40_000
def send():
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b""
while chunk := connection.recv(65536):
    got += chunk
print("whole", got == b"at 45.1.0.2\\n" + sent)
"""
    assert lines(run(world, "root", short_dir, ["public.test"], script)) == {"whole": "True"}


def test_nothing_but_tcp_and_names_leaves_where_hosts_are_named(world: World, short_dir: Path) -> None:
    script = """
import socket
for address, port in (("45.1.0.2", 7777), ("45.1.0.2", 53), ("127.0.0.1", 53)):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        try:
            one.sendto(b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6public\\4test\\0\\0\\x10\\0\\1", (address, port))
            print(f"{address}:{port}", b"hello" in one.recv(512))
        except OSError as error:
            print(f"{address}:{port}", type(error).__name__)
"""
    results = lines(run(world, "root", short_dir, ["public.test"], script))
    assert results == {"45.1.0.2:7777": "PermissionError", "45.1.0.2:53": "False", "127.0.0.1:53": "False"}
    (other := short_dir / "other").mkdir()
    results = lines(run(world, "root", other, None, script))
    assert results == {"45.1.0.2:7777": "False", "45.1.0.2:53": "True", "127.0.0.1:53": "True"}


def test_a_sandbox_cannot_change_links_routes_or_rules(world: World, user: str, short_dir: Path) -> None:
    script = """
import socket, subprocess
tries = {
    "link": ["ip", "link", "set", "lo", "down"],
    "address": ["ip", "address", "add", "10.7.0.9/24", "dev", "lo"],
    "route": ["ip", "route", "add", "10.7.0.0/24", "dev", "tap0"],
    "rules": ["/usr/sbin/nft", "flush", "ruleset"],
    "forward": ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
}
for name, argv in tries.items():
    print(name, subprocess.run(argv, capture_output=True).returncode != 0)
for name, kind in (("raw", socket.SOCK_RAW), ("packet", socket.SOCK_RAW)):
    try:
        socket.socket(socket.AF_INET if name == "raw" else socket.AF_PACKET, kind, 1)
        print(name, False)
    except OSError:
        print(name, True)
"""
    short_dir.chmod(0o711)
    for allow in (None, ["public.test"]):
        (folder := short_dir / str(allow)).mkdir()
        results = lines(run(world, user, folder, allow, script))
        assert set(results.values()) == {"True"}, results


def test_refusals_are_logged_once_and_bounded(world: World, short_dir: Path) -> None:
    script = """
import socket
for number in range(400):
    for _ in range(2):
        try:
            socket.getaddrinfo(f"n{number}.test", 80)
        except OSError:
            pass
print("done", 1)
"""
    outcome = run(world, "root", short_dir, ["public.test"], script)
    assert len(outcome["refused"]) == 200
    assert outcome["refused"][0] == {"host": "n0.test", "port": None, "rule": "n0.test"}
