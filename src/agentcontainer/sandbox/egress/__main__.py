"""The process behind a sandbox's network: `python -I -m agentcontainer.sandbox.egress MARKER`, started by network.py.

It reads one line of JSON (`{uid, join, allow}`), gives up root for `uid`, makes the namespaces, and answers with a line
`{user, net}`: its descriptors of them. From then on every line it writes is a refusal. It ends with its standard input.
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
from pathlib import Path

import dns.asyncbackend
import dns.rdata

from agentcontainer.egress import Rule, parse
from agentcontainer.sandbox.addresses import Address
from agentcontainer.sandbox.egress import firewall, namespace
from agentcontainer.sandbox.egress.namespace import Namespace, NamespaceError
from agentcontainer.sandbox.egress.refusals import Refusals
from agentcontainer.sandbox.egress.relay import Relay
from agentcontainer.sandbox.egress.resolver import Forwarded, Listed, Resolver, Standins

OPEN_FILES = 1024
IMPORTED_LATE = ("concurrent.futures.thread", "encodings.idna")  # by getaddrinfo, at its first call
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
    sys.meta_path.clear()  # without root our own files may be out of reach: what is not imported now, never is
    config = json.loads(sys.stdin.readline())
    try:
        _give_up_root(config["uid"], config["join"])
        rules = None if config["allow"] is None else parse(config["allow"])
        if rules is None:
            own = [str(address) for address in own_addresses() if address.version == 4]
            made = namespace.make(lambda _: firewall.open_rules(own), has_relay=False)
            slirp, lifeline = _slirp(made)
        else:
            made = namespace.make(firewall.listed_rules, has_relay=True)
            slirp = lifeline = None
    except NamespaceError as error:
        _tell({"error": str(error)})
        sys.exit(1)
    asyncio.run(_serve(made, rules, slirp))
    del lifeline


async def _serve(
    made: Namespace, rules: Sequence[Rule] | None, slirp: subprocess.Popen[bytes] | None
) -> None:
    refusals = Refusals(_tell)
    if rules is None:
        answer = Forwarded().answer
    else:
        assert made.relay is not None
        standins = Standins()
        answer = Listed(rules, standins, refusals).answer
        await Relay(rules, standins, refusals, own_addresses).start(made.relay)
    await Resolver(answer).start(made.dns_udp, made.dns_tcp)
    _tell({"user": made.user, "net": made.net})
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # nobody reads it from now on
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.done() or ended.set_result(None))
    if slirp is not None:
        watched = os.pidfd_open(slirp.pid)
        loop.add_reader(watched, lambda: ended.done() or ended.set_result(None))
    await ended


def own_addresses() -> list[Address]:
    """The addresses of this host, whatever they are: a sandbox reaches none of them."""
    try:
        shown = subprocess.run(("ip", "-json", "address"), capture_output=True, check=True, timeout=10).stdout
    except FileNotFoundError:
        raise NamespaceError("ip is missing. Install it: apt install iproute2") from None
    except subprocess.SubprocessError:
        raise NamespaceError("The host's own addresses cannot be listed.") from None
    entries = [entry for link in json.loads(shown) for entry in link.get("addr_info", ())]
    return [ipaddress.ip_address(entry["local"]) for entry in entries if "local" in entry]


def _give_up_root(uid: int | None, join: Sequence[str]) -> None:
    for path in join:  # what the sandbox's traffic costs is the sandbox's
        Path(path).write_text(str(os.getpid()))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _slirp(made: Namespace) -> tuple[subprocess.Popen[bytes], int]:
    """Gives the namespace its device. slirp4netns ends when the returned descriptor is closed: at our death."""
    ready, said = os.pipe()
    ending, lifeline = os.pipe()
    paths = f"--userns-path=/proc/self/fd/{made.user}", f"--ready-fd={said}", f"--exit-fd={ending}"
    target = "--netns-type=path", f"/proc/self/fd/{made.net}", "tap0"
    try:
        process = subprocess.Popen(
            (*SLIRP, *paths, *target),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(made.user, made.net, said, ending),
        )
    except FileNotFoundError:
        raise NamespaceError("slirp4netns is missing. Install it: apt install slirp4netns") from None
    os.close(said)
    os.close(ending)
    try:
        if os.read(ready, 1) != b"1":
            raise NamespaceError("slirp4netns failed: does /dev/net/tun exist, and may everybody open it?")
    finally:
        os.close(ready)
    return process, lifeline


def _tell(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


main()
