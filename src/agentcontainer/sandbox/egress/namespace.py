"""Makes the user and network namespaces of a sandbox's network, with our sockets and firewall rules in them.

A child process enters new namespaces, sets them up, sends back descriptors of the namespaces and sockets, and
ends. The descriptors keep the namespaces alive. The sandbox later joins the network namespace without
privileges in it.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.sandbox.egress.firewall import DNS_PORT

PREPARE_SECONDS = 20.0
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_DUMPABLE = 4
_LISTED_SETUP = (
    ("ip", "link", "set", "lo", "up"),
    ("ip", "-4", "route", "add", "local", "default", "dev", "lo"),
)
_OPEN_SETUP = (("ip", "link", "set", "lo", "up"),)
_MAX_DESCRIPTORS = 8


class NamespaceError(Exception):
    """The network cannot be made; `str(error)` is a sentence that says why."""


@dataclass(frozen=True)
class Namespace:
    """Descriptors of the namespaces, and sockets that listen in them."""

    user: int
    net: int
    dns_udp: socket.socket
    dns_tcp: socket.socket
    relay: socket.socket | None


def make(rules: Callable[[int], str], *, has_relay: bool) -> Namespace:
    """Make new namespaces. `rules` returns the firewall rules for the relay's port (0 without a relay).

    Call it before any thread or event loop starts: it forks.

    Raises:
        NamespaceError: the host refuses one of them, or a tool is missing.
    """
    parent_end, child_end = socket.socketpair()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            parent_end.close()
            _prepare(child_end, rules, has_relay)
            code = 0
        except BaseException as error:
            child_end.send(b"!" + str(error).encode(errors="replace")[:4000])
        finally:
            os._exit(code)
    child_end.close()
    try:
        parent_end.settimeout(PREPARE_SECONDS)
        message, descriptors, _, _ = socket.recv_fds(parent_end, 4096, _MAX_DESCRIPTORS)
    except OSError as error:
        raise NamespaceError("The sandbox's network was not ready in time.") from error
    finally:
        parent_end.close()
        os.waitpid(child, 0)
    if not descriptors:
        raise NamespaceError(
            message.removeprefix(b"!").decode(errors="replace") or "The process that makes the network died."
        )
    user, net, *sockets = descriptors
    udp, tcp, *relay = (socket.socket(fileno=descriptor) for descriptor in sockets)
    return Namespace(user, net, udp, tcp, relay[0] if relay else None)


def _prepare(out: socket.socket, rules: Callable[[int], str], has_relay: bool) -> None:
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # needed to write the maps below after changing from root
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NamespaceError(f"User namespaces are refused to ordinary users on this host: {reason}.")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    for command in _LISTED_SETUP if has_relay else _OPEN_SETUP:
        _run(command)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", DNS_PORT))
    sockets = [udp, _listener(DNS_PORT)]
    if has_relay:
        sockets.append(_listener(0))
    _run(("nft", "-f", "-"), rules(sockets[-1].getsockname()[1] if has_relay else 0))
    spaces = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("user", "net")]
    socket.send_fds(out, [b"+"], [*spaces, *(listening.fileno() for listening in sockets)])


def _listener(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    return listening


def _run(command: tuple[str, ...], standard_input: str = "") -> None:
    try:
        subprocess.run(
            command, input=standard_input.encode(), capture_output=True, check=True, timeout=PREPARE_SECONDS
        )
    except FileNotFoundError:
        package = {"ip": "iproute2", "nft": "nftables"}[command[0]]
        raise NamespaceError(f"{command[0]} is missing. Install it: apt install {package}") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise NamespaceError(f"{command[0]} failed: {lines[0] if lines else error.returncode}") from None
