"""The process behind a sandbox's network: `python -I -m agentcontainer.sandbox.egress MARKER`, started by
network.py.

It reads a line of JSON (`{uid, join, allow, is_private_allowed}`), changes from root to `uid`, makes the
namespaces, and writes a line with their descriptors (`{user, net}`). Every later line reports a refused host.
It ends when its standard input ends.
"""

import asyncio
import importlib
import ipaddress
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import dns.asyncbackend
import dns.rdata

from agentcontainer.egress import Rule, parse
from agentcontainer.sandbox.addresses import Address
from agentcontainer.sandbox.egress import firewall, namespace
from agentcontainer.sandbox.egress.namespace import Namespace, NamespaceError
from agentcontainer.sandbox.egress.refusals import Refusals
from agentcontainer.sandbox.egress.relay import Relay
from agentcontainer.sandbox.egress.resolver import (
    AllowListAnswers,
    ForwardedAnswers,
    Resolver,
    StandInAddresses,
)

OPEN_FILES = 1024
IMPORTED_LATE = ("concurrent.futures.thread", "encodings.idna")  # getaddrinfo imports them at its first call
SLIRP = (
    "slirp4netns",
    "--configure",
    "--mtu=65520",
    "--disable-host-loopback",
    "--disable-dns",
    "--enable-seccomp",
)


def main() -> None:
    """Serve until standard input ends."""
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    dns.rdata.load_all_types()
    dns.asyncbackend.set_default_backend("asyncio")
    sys.meta_path.clear()  # no imports from here on: without root our own files may be unreadable
    config = json.loads(sys.stdin.readline())
    try:
        _give_up_root(config["uid"], config["join"])
        rules = None if config["allow"] is None else parse(config["allow"])
        if rules is None:
            own = [str(address) for address in own_addresses() if address.version == 4]
            network = namespace.make(lambda _: firewall.open_rules(own), has_relay=False)
            slirp, lifeline = _slirp(network)
        else:
            network = namespace.make(firewall.listed_rules, has_relay=True)
            slirp = lifeline = None
    except NamespaceError as error:
        _send(error=str(error))
        sys.exit(1)
    asyncio.run(_serve(network, rules, slirp, is_private_allowed=config["is_private_allowed"]))
    del lifeline


async def _serve(
    network: Namespace,
    rules: Sequence[Rule] | None,
    slirp: subprocess.Popen[bytes] | None,
    *,
    is_private_allowed: bool,
) -> None:
    refusals = Refusals(lambda refused: _send(**asdict(refused)))
    if rules is None:
        answer = ForwardedAnswers().answer
    else:
        assert network.relay is not None
        stand_ins = StandInAddresses()
        answer = AllowListAnswers(rules, stand_ins, refusals).answer
        relay = Relay(rules, stand_ins, refusals, own_addresses, is_private_allowed=is_private_allowed)
        await relay.start(network.relay)
    await Resolver(answer).start(network.dns_udp, network.dns_tcp)
    _send(user=network.user, net=network.net)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # nobody reads it after the start
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.done() or ended.set_result(None))
    if slirp is not None:
        watched = os.pidfd_open(slirp.pid)
        loop.add_reader(watched, lambda: ended.done() or ended.set_result(None))
    await ended


def own_addresses() -> list[Address]:
    """All addresses of this host, public ones too. A sandbox must not reach any of them."""
    try:
        listed = subprocess.run(
            ("ip", "-json", "address"), capture_output=True, check=True, timeout=10
        ).stdout
    except FileNotFoundError:
        raise NamespaceError("ip is missing. Install it: apt install iproute2") from None
    except subprocess.SubprocessError:
        raise NamespaceError("The host's own addresses cannot be listed.") from None
    entries = [entry for link in json.loads(listed) for entry in link.get("addr_info", ())]
    return [ipaddress.ip_address(entry["local"]) for entry in entries if "local" in entry]


def _give_up_root(uid: int | None, join: Sequence[str]) -> None:
    for path in join:  # this process's memory and CPU count as the sandbox's
        Path(path).write_text(str(os.getpid()))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    open_files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _slirp(network: Namespace) -> tuple[subprocess.Popen[bytes], int]:
    """Start slirp4netns, which gives the namespace its device. It ends when the returned descriptor is
    closed, at the latest when this process dies."""
    ready, ready_writer = os.pipe()
    ending, lifeline = os.pipe()
    paths = f"--userns-path=/proc/self/fd/{network.user}", f"--ready-fd={ready_writer}", f"--exit-fd={ending}"
    target = "--netns-type=path", f"/proc/self/fd/{network.net}", "tap0"
    try:
        process = subprocess.Popen(
            (*SLIRP, *paths, *target),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(network.user, network.net, ready_writer, ending),
        )
    except FileNotFoundError:
        raise NamespaceError("slirp4netns is missing. Install it: apt install slirp4netns") from None
    os.close(ready_writer)
    os.close(ending)
    try:
        if os.read(ready, 1) != b"1":
            raise NamespaceError("slirp4netns failed: does /dev/net/tun exist, and may everybody open it?")
    finally:
        os.close(ready)
    return process, lifeline


def _send(**message: str | int | None) -> None:
    print(json.dumps(message), flush=True)


main()
