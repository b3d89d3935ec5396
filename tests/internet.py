"""A simulated internet: a host and the world outside it, as two connected network namespaces.

The tests' sandboxes run "on the host" (`inside`); nothing sent there ever leaves this machine. Public and private
addresses all answer there, so an address that is not reached was refused, not absent.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

PUBLIC = "45.1.0.2"  # the world's address, named public.test and *.wild.test
OTHER = "45.1.0.3"
PRIVATE = "10.7.0.2"
METADATA = "169.254.169.254"
SHARED = "100.64.0.2"
OUTSIDE = (
    PUBLIC,
    OTHER,
    PRIVATE,
    METADATA,
    SHARED,
    "172.16.0.2",
    "192.168.7.2",
    "198.51.100.2",
    "168.63.129.16",
)
HOST = "45.1.0.1"
HOST_PRIVATE = "10.7.0.1"
PORTS = (80, 443, 8080)
REPOSITORY = Path(__file__).parents[1]


class World:
    """The namespaces, and how to run something on the host."""

    def __init__(self, name: str, folder: Path) -> None:
        self.host, self.outside = f"{name}-host", f"{name}-world"
        self.folder = folder
        self.resolv_conf = folder / "resolv.conf"

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The argv that runs `argv` on the host, as root; it finds the world's nameserver and a tun device for all."""
        script = (
            f"mount --bind {shlex.quote(str(self.resolv_conf))} /etc/resolv.conf; "
            "mount -t tmpfs -o mode=755,noexec none /dev/net; mknod -m 666 /dev/net/tun c 10 200; "
            f'exec nsenter --net=/run/netns/{self.host} -- "$@"'
        )
        return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh", *argv]


@contextmanager
def world(folder: Path) -> Generator[World]:
    """Create a world for the duration of the block; needs root."""
    new_world = World(f"ac{secrets.token_hex(4)}", folder)
    new_world.resolv_conf.write_text(f"nameserver {PUBLIC}\noptions timeout:1 attempts:1\n")
    servers: list[subprocess.Popen[bytes]] = []
    try:
        _build(new_world)
        command = [sys.executable, "-m", "tests.internet_servers"]
        for namespace, role in ((new_world.outside, "world"), (new_world.host, "host")):
            server = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{namespace}", "--", *command, role],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
            )
            servers.append(server)
            assert server.stdout is not None and server.stdout.readline() == b"ready\n"
        yield new_world
    finally:
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
        for namespace in (new_world.host, new_world.outside):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _build(new_world: World) -> None:
    wire = new_world.host.removesuffix("-host")
    lines = [
        f"netns add {new_world.host}",
        f"netns add {new_world.outside}",
        f"link add {wire}h netns {new_world.host} type veth peer name {wire}w netns {new_world.outside}",
    ]
    for command in lines:
        _ip(command)
    for namespace, device in ((new_world.host, f"{wire}h"), (new_world.outside, f"{wire}w")):
        _ip(f"-n {namespace} link set lo up")
        _ip(f"-n {namespace} link set {device} up")
    for address in (HOST, HOST_PRIVATE):
        _ip(f"-n {new_world.host} address add {address}/24 dev {wire}h")
    for address in OUTSIDE:
        _ip(f"-n {new_world.outside} address add {address}/24 dev {wire}w")
    _ip(f"-n {new_world.host} route add default via {PUBLIC}")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def answer(argv: Sequence[str]) -> dict[str, object]:
    """The JSON that the command prints."""
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, env=os.environ)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))
