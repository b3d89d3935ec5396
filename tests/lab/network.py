"""The lab's network: a switch with one cable to each host. Cables can be pulled, and packets between two hosts dropped.

A dropped packet is answered by nobody, unlike a refused or reset connection.
"""

import ctypes
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count

from .host import Host

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """`switch` is a host whose network is the switch. The tests are on it too, while they are `entered`."""

    def __init__(self, switch: Host) -> None:
        self._switch = switch
        self._numbers = count()

    def open(self) -> None:
        self._ip(
            "link add br0 type bridge mcast_snooping 0",
            f"addr add {self._switch.address}/24 dev br0",
            "link set br0 up",
        )
        self._nft("add table bridge lab; add chain bridge lab cut { type filter hook forward priority 0; }")

    def connect(self, *hosts: Host) -> None:
        """Lay the cables of hosts that have just booted."""
        batch = [
            f"link add v-{host.name} netns {self._switch.pid} type veth peer name eth0 netns {host.pid}"
            for host in hosts
        ]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(batch).encode(), check=True)
        self._ip(*(f"link set v-{host.name} master br0 up" for host in hosts))
        for host in hosts:
            _ip_in(host, f"addr add {host.address}/24 dev eth0", "link set eth0 up")

    def unplug(self, host: Host) -> None:
        """Pull the cable at the switch: the host's interface has no carrier, and its connections hear nothing."""
        self._ip(f"link set v-{host.name} down")

    def plug(self, host: Host) -> None:
        self._ip(f"link set v-{host.name} up")

    def power_off(self, host: Host) -> None:
        """The host loses its power: its network first, so that no connection is closed in order."""
        self.unplug(host)
        host.power_off()
        # The kernel removes the cable a moment after the host's network.
        self._nsenter("ip", "link", "del", f"v-{host.name}", check=False)

    @contextmanager
    def cut(self, *pairs: tuple[Host, Host]) -> Generator[None]:
        """Drop every packet between the hosts of each pair."""
        chain = f"cut{next(self._numbers)}"
        rules = [
            f"add rule bridge lab {chain} ip saddr {a.address} ip daddr {b.address} drop"
            for pair in pairs for a, b in (pair, pair[::-1])
        ]  # fmt: skip
        self._nft(f"add chain bridge lab {chain} {{ type filter hook forward priority 0; }}", *rules)
        try:
            yield
        finally:
            self._nft(f"delete chain bridge lab {chain}")

    @contextmanager
    def entered(self) -> Generator[None]:
        """This thread, and threads and processes that it starts, use the lab's network instead of the machine's."""
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self._switch.pid}/ns/net") as lab:
            _enter(lab.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def nft_on(self, host: Host, rules: str) -> None:
        """Change the packet filter of a host."""
        _nsenter(host, "nft", "-f", "-", standard_input=rules, check=True)

    def _ip(self, *lines: str) -> None:
        _ip_in(self._switch, *lines)

    def _nft(self, *lines: str) -> None:
        self._nsenter("nft", "-f", "-", standard_input="\n".join(lines))

    def _nsenter(self, *command: str, standard_input: str = "", check: bool = True) -> None:
        _nsenter(self._switch, *command, standard_input=standard_input, check=check)


def _ip_in(host: Host, *lines: str) -> None:
    _nsenter(host, "ip", "-batch", "-", standard_input="\n".join(lines), check=True)


def _nsenter(host: Host, *command: str, standard_input: str, check: bool) -> None:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        ["nsenter", "-t", str(host.pid), "-n", "--", *command],
        input=standard_input.encode(), capture_output=True, env={"PATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"{command}: {standard_input}: {done.stderr.decode()}"


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
